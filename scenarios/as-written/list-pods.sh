kubectl get pods -n azure-alb-system
