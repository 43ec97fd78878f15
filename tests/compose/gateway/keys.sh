#!/bin/bash
# The keys that the front page's buttons need, as files to serve. None when others than this
# machine reach the gateway; no key to faults where there are none.
# usage: BIND=ADDRESS DEMO_FAULTS=BOOL keys.sh SECRETS SERVED
set -eu
secrets=$1 served=$2
rm -f "$served/fault-key.json" "$served/vault-key.json"

serve() { # SECRET NAME
    printf '{"key": "%s"}\n' "$(cat "$secrets/$1")" >"$served/$2"
}

[[ ${BIND-} =~ ^127(\.[0-9]{1,3}){3}$ ]] || exit 0
serve demo/vault.apikey vault-key.json
case ${DEMO_FAULTS-} in
1 | true | yes | on) serve fault/key fault-key.json ;;
esac
