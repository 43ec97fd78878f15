#!/bin/bash
# What the front page's buttons need: keys as files to serve, and the vault's sealed files. Nothing
# when others than this machine reach the gateway; no key to faults where there are none.
# usage: BIND=ADDRESS DEMO_FAULTS=BOOL keys.sh SECRETS SEALED SERVED
set -eu
secrets=$1 sealed=$2 served=$3
rm -f "$served/fault-key.json" "$served/vault-key.json" "$served/disk"

serve() { # SECRET NAME
    printf '{"key": "%s"}\n' "$(cat "$secrets/$1")" >"$served/$2"
}

[[ ${BIND-} =~ ^127(\.[0-9]{1,3}){3}$ ]] || exit 0
serve demo/vault.apikey vault-key.json
ln -s "$sealed" "$served/disk"
case ${DEMO_FAULTS-} in
1 | true | yes | on) serve fault/key fault-key.json ;;
esac
