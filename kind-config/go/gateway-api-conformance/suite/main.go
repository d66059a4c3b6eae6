// The conformance suite of the Gateway API as a program of its own.
//
//	suite plan   says as JSON which tests, profiles, objects and images there are, and asks no cluster
//	suite run    runs the suite with its own flags and those below; what is printed is that of `go test -v`
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"testing"

	"sigs.k8s.io/gateway-api/conformance"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
)

func main() {
	testing.Init()
	zone := flag.String("zone", "", "DNS zone of the gateways' host names; empty if the system's resolver knows them")
	namespace := flag.String("zone-namespace", "", "namespace of the Services that the first label of such a name names")
	label := flag.String("label", "", "name=value of the label that everything gets which is made")
	if len(os.Args) < 2 || (os.Args[1] != "plan" && os.Args[1] != "run") {
		fmt.Fprintln(os.Stderr, "usage: suite plan | suite run [flags]")
		os.Exit(2)
	}
	if err := flag.CommandLine.Parse(os.Args[2:]); err != nil {
		os.Exit(2)
	}
	if os.Args[1] == "plan" {
		plan, err := planned()
		if err == nil {
			err = json.NewEncoder(os.Stdout).Encode(plan)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	// -test.run takes several names; the flag of the suite takes one.
	matches := func(pattern, name string) (bool, error) { return regexp.MatchString(pattern, name) }
	testing.Main(matches, []testing.InternalTest{{Name: "Conformance", F: func(t *testing.T) {
		options := conformance.DefaultOptions(t)
		if err := prepare(&options, *label, *zone, *namespace); err != nil {
			t.Fatal(err)
		}
		conformance.RunConformanceWithOptions(t, options)
	}}}, nil, nil)
}

// prepare makes every request of the suite fast and labelled, and names of the zone resolvable.
func prepare(options *suite.ConformanceOptions, label, zone, namespace string) error {
	config := options.RestConfig
	// One that is as fast as the cluster: what the API server cannot take it says itself.
	config.QPS, config.Burst = -1, 0
	if label != "" {
		if err := labelEverything(config, label); err != nil {
			return err
		}
	}
	if err := connect(options); err != nil {
		return err
	}
	if zone != "" {
		resolveZone(options.Clientset, zone, namespace)
	}
	return nil
}
