kubectl get gateway gateway-01 -n isto-example-namespace -o yaml
