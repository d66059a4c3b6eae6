kubectl rollout restart deployment/alb-controller-istio-extension
