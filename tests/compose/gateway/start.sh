#!/bin/bash
# nginx with its configuration as it stands, or, when the certificate folder has a certificate
# (fullchain.pem, privkey.pem), with TLS on every port.
set -eu
config=/tmp/nginx.conf
cp /etc/gateway/nginx.conf $config
bash /etc/gateway/keys.sh /secrets /data/blobs /tmp
if [ -s /tls/fullchain.pem ]; then
    sed -i -e 's/\(listen [0-9]*\);/\1 ssl;/' -e 's/# with TLS: //' $config
fi
exec nginx -e stderr -c $config -g 'daemon off;'
