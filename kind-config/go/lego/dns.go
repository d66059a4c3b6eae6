// Package dns stands in for that of go-acme/lego, whose providers need modules that no module proxy serves. Traefik asks it for one
// when it is to prove that it owns a name by DNS; here nobody does.
package dns

import (
	"fmt"

	"github.com/go-acme/lego/v5/challenge"
)

// NewDNSChallengeProviderByName knows no provider.
func NewDNSChallengeProviderByName(name string) (challenge.Provider, error) {
	return nil, fmt.Errorf("no DNS provider is part of this build: %s", name)
}
