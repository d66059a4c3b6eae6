kubectl get configmap -n aks-istio-system | grep asm-
