# Thin verbs. Each is one to three lines over a command that can be typed by hand.
.DEFAULT_GOAL := help
# The interpreter that makes .venv: `make run PYTHON=python3.13`.
PYTHON ?= python3
BIN := .venv/bin
# Without PYTHON= an existing .venv keeps its Python.
venv = @$(PYTHON) deploy/local/venv.py $(1) $@ $(if $(filter file,$(origin PYTHON)),--keep-python)
# The plugin for Django reads the settings, and nothing behind these addresses.
for_mypy = READ_ENV_FILES=false SECRET_KEY=only-for-mypy-which-starts-no-server-at-all \
  DATABASE_URL=postgresql://nowhere/none CELERY_BROKER_URL=redis://nowhere
compile = $(BIN)/uv pip compile -q --universal --generate-hashes --no-header $(if $(UPGRADE),--upgrade)
projects = pyproject.toml durable/pyproject.toml --all-extras

##@ Without Docker: nothing but python3 and make
.PHONY: run
run: ## start PostgreSQL, Valkey, web, worker and beat; PORT=8001 for another port
	$(call venv,local)
	@exec $(BIN)/python -m deploy.local

.PHONY: test
test: ## run every test that this machine can run; ARGS="-k name" for some
	$(call venv,dev)
	@exec $(BIN)/python -m pytest -n 2 --dist loadscope $(ARGS)

.PHONY: mail
mail: ## show the newest mail that the stack sent: compose's if it runs, else that of `make run`
	@deploy/compose/newest-mail 2>/dev/null || ls -t .local/mail/* 2>/dev/null | head -n 1 | xargs -r cat || true

##@ With Docker
.PHONY: image
image: ## build the image; IMAGE=registry/proj:1.2.3 gives it that name
	$(if $(IMAGE),APP_IMAGE=$(IMAGE)) docker compose build

.PHONY: up
up: ## start the stack, or bring it a new version without a failed request; PORT=8001 for another port
	@deploy/compose/up

.PHONY: rollback
rollback: ## go back to the image before, the same way
	@deploy/compose/rollback

.PHONY: down
down: ## stop the stack; its data stays
	docker compose down

.PHONY: logs
logs: ## follow the logs
	docker compose logs --follow --tail 100

.PHONY: shell
shell: ## open Django's shell in the web container
	docker compose exec web python manage.py shell

.PHONY: scale-workers
scale-workers: ## make N workers take tasks: N=4; on a cluster: N=4 ENV=prod POOL=reports
	@$(if $(ENV),deploy/k8s/scale-workers "$(N)" --env="$(ENV)" $(if $(POOL),--pool="$(POOL)"),deploy/compose/scale-workers $(N))

.PHONY: backup
backup: ## dump the database; ENV=prod for a cluster's
	@ENV=$(ENV) deploy/$(if $(ENV),k8s,compose)/backup dump

.PHONY: restore-drill
restore-drill: ## prove the newest dump: restore it beside the database, and compare
	@ENV=$(ENV) deploy/$(if $(ENV),k8s,compose)/backup drill

.PHONY: restore
restore: ## put a dump in the database's place: FROM=file, or a second: AT="2026-11-29 14:03"; without, show which there are
	@ENV=$(ENV) AT="$(AT)" deploy/$(if $(ENV),k8s,compose)/backup restore $(FROM)

.PHONY: rotate-secret
rotate-secret: ## replace a password or key: NAME=secret_key (postgres, redis; compose: metrics_token); ENV=prod for a cluster's
	@$(if $(ENV),$(PYTHON) deploy/k8s/rotate-secret "$(ENV)",deploy/compose/rotate-secret) "$(NAME)"

.PHONY: upgrade-postgres
upgrade-postgres: ## move compose's database to another version: TO=19; back: TO=18 FORCE=1; delete what was kept: FORGET=18
	@deploy/compose/upgrade-postgres $(if $(FORGET),forget "$(FORGET)","$(TO)")

.PHONY: doctor
doctor: ## show the state of all parts, and what to do: compose's, else `make run`'s; ENV=prod for a cluster's; JSON=1
	@$(PYTHON) deploy/doctor "$(ENV)" $(if $(JSON),--json)

.PHONY: chaos
chaos: ## break a stack of its own under load, and count: FAULT=name, SEED=7 MINUTES=10, BATCH=100, BASELINE=1
	$(call venv,dev)
	@FAULT="$(FAULT)" SEED="$(SEED)" MINUTES="$(MINUTES)" BASELINE="$(BASELINE)" BATCH="$(BATCH)" exec $(BIN)/python -m tests.chaos

.PHONY: test-k8s
test-k8s: ## break a stack on a cluster ($KUBECONFIG, else one of its own), and write docs/kubernetes.md's table
	$(call venv,dev)
	@CLUSTER_PAGE=docs/kubernetes.md exec tests/cluster/with-cluster $(BIN)/python -m pytest -m cluster $(ARGS)

.PHONY: dev
dev: ## start the stack with your source mounted; web and worker reload at a change; DEBUG=web (or worker): under debugpy
	@chmod -R a+rX apps durable proj docker # the containers' user reads them, whatever your umask is
	docker compose -f compose.yaml -f deploy/compose/dev.yaml $(if $(DEBUG),-f deploy/compose/debug/$(DEBUG).yaml) \
	  up --build --watch

##@ On Kubernetes (k8s/README.md)
.PHONY: push
push: ## push the image to its registry: IMAGE=registry/proj:1.2.3
	docker push "$(or $(IMAGE),$(error IMAGE is not set: make push IMAGE=registry/proj:1.2.3))"

.PHONY: set-image
set-image: ## write the image's name into an overlay: ENV=prod IMAGE=registry/proj:1.2.3
	@deploy/k8s/set-image "$(ENV)" "$(IMAGE)"

.PHONY: secret
secret: ## create the Secrets of an overlay, or set what the environment has: ENV=prod
	@$(PYTHON) deploy/k8s/secret "$(ENV)"

##@ The code
.PHONY: lint
lint: ## check the style of the code
	$(call venv,dev)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: format
format: ## put the code into the style
	$(call venv,dev)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: typecheck
typecheck: ## check the types
	$(call venv,dev)
	$(for_mypy) $(BIN)/mypy

.PHONY: lock
lock: ## compile both pyproject.toml into requirements/; UPGRADE=1 for the newest versions
	$(call venv,dev)
	$(compile) $(projects) -o requirements/runtime.txt
	$(if $(wildcard requirements/example.txt),$(compile) -c requirements/runtime.txt --group example -o requirements/example.txt)
	$(compile) $(projects) -c requirements/runtime.txt --group local -o requirements/local.txt
	$(compile) $(projects) -c requirements/runtime.txt -c requirements/local.txt --group dev -o requirements/dev.txt
	$(compile) $(projects) -c requirements/runtime.txt --group bench -o requirements/bench.txt
	$(compile) -c requirements/runtime.txt --group debug -o requirements/debug.txt
	$(compile) --group checkov -o requirements/checkov.txt
	$(compile) --group audit -o requirements/audit.txt

.PHONY: rename
rename: ## give the project a name of its own, before its first start: NAME=shop
	@$(PYTHON) deploy/rename "$(NAME)"

.PHONY: release
release: ## write version, changelog and list of tasks, commit, and tag: VERSION=0.1.0
	$(call venv,dev)
	@$(BIN)/python -m deploy.release "$(VERSION)"

.PHONY: audit
audit: ## compare the locks with the known vulnerabilities
	@PYTHON=$(PYTHON) deploy/release/audit

.PHONY: clean
clean: ## remove .venv, caches and all of `make run`: its data, its backups
	rm -rf .venv .venv-bench .venv-checkov .local staticfiles .pytest_cache .mypy_cache .ruff_cache .hypothesis

.PHONY: help
help: ## show this
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
