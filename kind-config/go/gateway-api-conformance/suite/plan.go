package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sort"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/yaml"

	"sigs.k8s.io/gateway-api/conformance"
	"sigs.k8s.io/gateway-api/conformance/tests"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
	"sigs.k8s.io/gateway-api/pkg/consts"
	"sigs.k8s.io/gateway-api/pkg/features"
)

const baseManifests = "base/manifests.yaml"

// What the suite would do.
type plan struct {
	Version  string             `json:"version"`
	Base     made               `json:"base"`
	Profiles map[string]profile `json:"profiles"`
	Tests    []test             `json:"tests"`
}

// What manifests make.
type made struct {
	Images  []string `json:"images"`
	Objects []object `json:"objects"`
}

type object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
}

type profile struct {
	Core     []features.FeatureName `json:"core"`
	Extended []features.FeatureName `json:"extended"`
}

type test struct {
	Name        string                 `json:"name"`
	Description string                 `json:"description"`
	Features    []features.FeatureName `json:"features"`
	Provisional bool                   `json:"provisional"`
	Makes       made                   `json:"makes"`
}

func planned() (*plan, error) {
	base, err := makes(baseManifests)
	if err != nil {
		return nil, err
	}
	result := &plan{Version: consts.BundleVersion, Base: *base, Profiles: map[string]profile{}}
	for _, p := range []suite.ConformanceProfile{
		suite.GatewayHTTPConformanceProfile, suite.GatewayGRPCConformanceProfile, suite.GatewayTLSConformanceProfile,
		suite.GatewayTCPConformanceProfile, suite.GatewayUDPConformanceProfile,
	} {
		result.Profiles[string(p.Name)] = profile{Core: sets.List(p.CoreFeatures), Extended: sets.List(p.ExtendedFeatures)}
	}
	for _, t := range tests.ConformanceTests {
		made, err := makes(t.Manifests...)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.ShortName, err)
		}
		result.Tests = append(result.Tests, test{
			Name: t.ShortName, Description: t.Description, Features: t.Features, Provisional: t.Provisional, Makes: *made,
		})
	}
	return result, nil
}

func makes(manifests ...string) (*made, error) {
	images := sets.New[string]()
	result := &made{Objects: []object{}}
	for _, name := range manifests {
		content, err := conformance.Manifests.ReadFile(name)
		if err != nil {
			return nil, err
		}
		decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
		for {
			found := unstructured.Unstructured{}
			err := decoder.Decode(&found)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if len(found.Object) == 0 {
				continue
			}
			result.Objects = append(result.Objects, object{
				found.GetAPIVersion(), found.GetKind(), found.GetNamespace(), found.GetName(),
			})
			collectImages(found.Object, images)
		}
	}
	result.Images = sets.List(images)
	sort.Strings(result.Images)
	return result, nil
}

// collectImages finds what containers run, wherever the pod template is.
func collectImages(value any, images sets.Set[string]) {
	switch value := value.(type) {
	case map[string]any:
		for key, inner := range value {
			if image, is := inner.(string); is && key == "image" {
				images.Insert(image)
				continue
			}
			collectImages(inner, images)
		}
	case []any:
		for _, inner := range value {
			collectImages(inner, images)
		}
	}
}
