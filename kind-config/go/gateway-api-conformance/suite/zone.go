package main

import (
	"context"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// How long an answer may take before the resolver asks again.
const patience = 10 * time.Second

// resolveZone lets everything in this process look up names of a zone that only the cluster knows: the first label of a name is
// that of a Service of type LoadBalancer, whose address is the answer. All other names go to the system's resolver. Whatever
// dials, the suite's own transports, gRPC or crypto/tls, asks net.DefaultResolver.
func resolveZone(client kubernetes.Interface, zone, namespace string) {
	system := &net.Resolver{PreferGo: true}
	server := &zoneServer{client, strings.ToLower(dns.Fqdn(zone)), namespace, system}
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go server.serve(theirs)
		return ours, nil
	}}
}

type zoneServer struct {
	client    kubernetes.Interface
	zone      string
	namespace string
	system    *net.Resolver
}

// serve answers one connection, framed as over TCP.
func (s *zoneServer) serve(pipe net.Conn) {
	connection := &dns.Conn{Conn: pipe}
	defer connection.Close()
	for {
		query, err := connection.ReadMsg()
		if err != nil {
			return
		}
		if connection.WriteMsg(s.answer(query)) != nil {
			return
		}
	}
}

func (s *zoneServer) answer(query *dns.Msg) *dns.Msg {
	reply := new(dns.Msg)
	reply.SetReply(query)
	reply.RecursionAvailable = true
	if len(query.Question) != 1 {
		reply.Rcode = dns.RcodeFormatError
		return reply
	}
	question := query.Question[0]
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	addresses, err := s.look(ctx, question.Name)
	if err != nil {
		reply.Rcode = dns.RcodeServerFailure
		if missing, ok := err.(*net.DNSError); ok && missing.IsNotFound {
			reply.Rcode = dns.RcodeNameError
		}
		return reply
	}
	for _, address := range addresses {
		header := dns.RR_Header{Name: question.Name, Rrtype: question.Qtype, Class: dns.ClassINET}
		v4 := address.To4()
		switch {
		case question.Qtype == dns.TypeA && v4 != nil:
			reply.Answer = append(reply.Answer, &dns.A{Hdr: header, A: v4})
		case question.Qtype == dns.TypeAAAA && v4 == nil:
			reply.Answer = append(reply.Answer, &dns.AAAA{Hdr: header, AAAA: address})
		}
	}
	return reply
}

func (s *zoneServer) look(ctx context.Context, name string) ([]net.IP, error) {
	name = strings.ToLower(name)
	first, rest, _ := strings.Cut(name, ".")
	if rest != s.zone && !strings.HasSuffix(rest, "."+s.zone) {
		found, err := s.system.LookupIPAddr(ctx, name)
		addresses := make([]net.IP, 0, len(found))
		for _, address := range found {
			addresses = append(addresses, address.IP)
		}
		return addresses, err
	}
	service, err := s.client.CoreV1().Services(s.namespace).Get(ctx, first, metav1.GetOptions{})
	if err != nil {
		return nil, &net.DNSError{Err: err.Error(), Name: name, IsNotFound: true}
	}
	var addresses []net.IP
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		if address := net.ParseIP(ingress.IP); address != nil {
			addresses = append(addresses, address)
		}
	}
	return addresses, nil
}
