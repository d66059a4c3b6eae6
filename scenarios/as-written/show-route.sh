kubectl get httproute traffic-split-mesh-route -n isto-example-namespace -o yaml
