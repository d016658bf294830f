#!/bin/sh
# Everything from a fresh clone: install, build, and run or test. Needs Node >= 20.20 and nothing else.
set -eu
cd "$(dirname "$0")"

usage() {
  cat <<'TEXT'
./run.sh [cluster]      install, build, start three nodes on 127.0.0.1 with their data under ./data, write a key
                        through one and read it through another, print where the dashboard is, and stay up until Ctrl-C
./run.sh test           install, build, check types and run all tests
./run.sh lint           install and check style
./run.sh bench [...]    install, build and run the benchmarks
./run.sh build          install and build only
./run.sh --help         this text

Settings of `cluster`, as environment variables:
  KV_PORTS       ports of the nodes                  (50051,50052,50053)
  KV_HTTP_PORTS  ports for HTTP; empty: no HTTP      (10 above each of KV_PORTS: 50061,50062,50063)
  KV_DATA        where the nodes keep their data     (./data)
TEXT
}

need_node() {
  if ! command -v node >/dev/null 2>&1; then
    echo "run.sh: Node.js >= 20.20 is needed, and there is no 'node' on the PATH: https://nodejs.org" >&2
    exit 2
  fi
  if ! node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 20) ? 0 : 1)'; then
    echo "run.sh: Node.js >= 20.20 is needed; this is $(node --version)" >&2
    exit 2
  fi
}

# Installs when the lock file is newer than what it made.
install() {
  need_node
  if [ node_modules/.package-lock.json -nt package-lock.json ] && [ -x node_modules/.bin/protoc ]; then return; fi
  echo "installing packages ..."
  npm ci --no-audit --no-fund
}

build() {
  install
  echo "building ..."
  npm run --silent build
}

case "${1:-cluster}" in
  cluster)
    build
    exec node server/bin/local-cluster.js
    ;;
  test)
    install
    exec npm run --silent test
    ;;
  lint)
    install
    exec npm run --silent lint
    ;;
  bench)
    shift
    build
    exec node bench/dist/main.js "$@"
    ;;
  build)
    build
    ;;
  -h | --help | help)
    usage
    ;;
  *)
    echo "run.sh: unknown command '$1'" >&2
    usage >&2
    exit 2
    ;;
esac
