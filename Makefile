# The commands of meshproof. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

MESHPROOF := cargo run --quiet --package meshproof --bin meshproof --
# Snapshots are reviewed in pull requests; a run never writes them.
export INSTA_UPDATE ?= no

.PHONY: help e2e conformance mutants peers meshes test lint up down status doctor bench-startup bench-routes bench-traffic bench-isolation

help: ## what can be done here
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

e2e: ## the main job: cluster, Istio, extension, every scenario, verdict (KEEP=1 leaves the cluster)
	@./kind-config/e2e

conformance: ## the Gateway API's own conformance suite against the gateway of this workspace
	@$(MESHPROOF) conformance

mutants: ## gateways that are wrong on purpose: each must turn a scenario red, for the right reason
	@$(MESHPROOF) mutants

peers: ## gateways that nobody here wrote (Envoy Gateway, Traefik), built from pinned modules, against the scenarios
	cargo test --workspace --features peers --locked --test e2e -- --nocapture --test-threads=1 proved_by_a_peer

meshes: ## meshes as strangers have them: scenarios are proved there, or refused by the setting's name (KEEP=1 leaves the cluster)
	@$(MESHPROOF) meshes $(if $(KEEP),--keep)

test: ## rungs 1 and 2: no Docker, no network but loopback
	cargo test --workspace --locked

lint: ## rustfmt and clippy, warnings are errors
	cargo fmt --all -- --check
	cargo clippy --workspace --all-targets --features e2e --locked -- -D warnings
	cargo clippy --package alb-proxy --package alb-controller --package alb-controller-istio-extension \
	  --lib --bins --features alb-proxy/faults,alb-controller/faults,alb-controller-istio-extension/faults --locked -- -D warnings

up: ## a cluster with Istio and the extension, ready to try things on
	@$(MESHPROOF) up

down: ## remove everything that `up` made
	@$(MESHPROOF) down

status: ## what is running, and how to curl it
	@$(MESHPROOF) status

doctor: ## what this host has, what will be used, what is missing
	@$(MESHPROOF) doctor

bench-startup: ## meshproof up against the plain sequential way, with the ratio
	@$(MESHPROOF) bench startup

bench-routes: ## route added to first answer, beside Istio's own gateway
	@$(MESHPROOF) bench routes

bench-traffic: ## what requests cost and how long they take, beside Istio's own gateway
	@$(MESHPROOF) bench traffic

bench-isolation: ## what one tenant's trouble costs its neighbours, beside Istio's own gateway
	@$(MESHPROOF) bench isolation
