kubectl delete PeerAuthentication default -n isto-example-namespace
