package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sigs.k8s.io/gateway-api/conformance/utils/suite"
)

// labelEverything puts a label on every object that is written with this configuration, whoever writes it: manifests and what
// tests make in code alike. By it, what a run that was killed has left can be told from what is somebody else's.
func labelEverything(config *rest.Config, label string) error {
	name, value, ok := strings.Cut(label, "=")
	if !ok {
		return fmt.Errorf("--label %q: expected name=value", label)
	}
	// Objects of Kubernetes' own kinds would else be written as protobuf, which cannot be looked into.
	config.ContentType = "application/json"
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &labeller{next, name, value} })
	return nil
}

type labeller struct {
	next        http.RoundTripper
	name, value string
}

func (l *labeller) RoundTrip(request *http.Request) (*http.Response, error) {
	if (request.Method != http.MethodPost && request.Method != http.MethodPut) || request.Body == nil {
		return l.next.RoundTrip(request)
	}
	body, err := io.ReadAll(request.Body)
	request.Body.Close()
	if err != nil {
		return nil, err
	}
	body = labelled(body, l.name, l.value)
	// What is given to a RoundTripper stays its caller's.
	request = request.Clone(request.Context())
	request.Body = io.NopCloser(bytes.NewReader(body))
	request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	request.ContentLength = int64(len(body))
	return l.next.RoundTrip(request)
}

// labelled is the object with one label more; what is no object stays as it is.
func labelled(body []byte, name, value string) []byte {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var object map[string]any
	if decoder.Decode(&object) != nil {
		return body
	}
	metadata, ok := object["metadata"].(map[string]any)
	if !ok {
		return body
	}
	labels, ok := metadata["labels"].(map[string]any)
	if !ok {
		labels = map[string]any{}
	}
	labels[name] = value
	metadata["labels"] = labels
	changed, err := json.Marshal(object)
	if err != nil {
		return body
	}
	return changed
}

// connect makes the suite's clients anew from its configuration, which has changed since they were made.
func connect(options *suite.ConformanceOptions) error {
	scheme := options.Client.Scheme()
	options.ClientOptions.Scheme = scheme
	made, err := client.New(options.RestConfig, options.ClientOptions)
	if err != nil {
		return err
	}
	options.Client = made
	options.Clientset, err = kubernetes.NewForConfig(options.RestConfig)
	return err
}
