// Package ext stands in for a module that Traefik's sources name and that no module proxy serves: settings of its paid edition,
// embedded in two types. Here there are none.
package ext

// HTTP has no further settings of the HTTP configuration.
type HTTP struct{}

// DeepCopyInto copies nothing.
func (in *HTTP) DeepCopyInto(*HTTP) {}

// Router has no further settings of a router.
type Router struct{}

// DeepCopyInto copies nothing.
func (in *Router) DeepCopyInto(*Router) {}
