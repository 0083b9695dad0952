# shellcheck shell=bash
# A CA of the testbed's own, what it has signed, and a stranger's that nobody here trusts. Sourced, not run.

SECURITY=$STATE/security

# make_certificates : what is missing of them. The server's names every address that the services listen on, so it is
# made anew when the docker network appears.
make_certificates() {
  need_commands openssl=openssl
  (
    # Broker and database come up at the same time.
    mkdir -p "$STATE"
    exec 8>"$STATE/certificates.lock" 9>&-
    flock 8
    [ -d "$SECURITY" ] || make_authorities
    server_names "${GATEWAY:-127.0.0.1}" || certify "$SECURITY/server" localhost \
      "extendedKeyUsage=serverAuth subjectAltName=DNS:localhost,IP:127.0.0.1${GATEWAY:+,IP:$GATEWAY}" "$SECURITY/ca"
    write_env security TESTBED_SECURITY "$SECURITY"
  )
}

# Renamed into place now that all of them are there: an interrupted `up` leaves no half of them.
make_authorities() {
  local new=$SECURITY.part authority="basicConstraints=critical,CA:TRUE keyUsage=critical,keyCertSign,cRLSign"
  rm -rf "$new"
  mkdir "$new"
  certify "$new/ca" "$NAME" "$authority"
  certify "$new/stranger-ca" "a stranger of $NAME" "$authority"
  certify "$new/client" market extendedKeyUsage=clientAuth "$new/ca"
  # Claims to be the same user.
  certify "$new/stranger" market extendedKeyUsage=clientAuth "$new/stranger-ca"
  mv "$new" "$SECURITY"
}

server_names() { # ADDRESS
  [ -e "$SECURITY/server.crt" ] && openssl x509 -in "$SECURITY/server.crt" -noout -checkip "$1" | grep -q 'does match'
}

# certify PATH COMMON_NAME EXTENSIONS [SIGNER_PATH] : a key in PKCS#8, which openssl lets nobody else read, and its
# certificate, which signs itself if nobody else does. The settings are ours alone: the machine's would add extensions.
certify() {
  local settings said
  # shellcheck disable=SC2086
  settings=$(printf '%s\n' '[req]' distinguished_name=name x509_extensions=extensions '[name]' '[extensions]' \
    subjectKeyIdentifier=hash ${4:+authorityKeyIdentifier=keyid} $3)
  said=$(openssl req -x509 -config <(echo "$settings") -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 \
    -subj "/CN=$2" ${4:+-CA "$4.crt" -CAkey "$4.key"} -keyout "$1.key" -out "$1.crt" 2>&1) ||
    die "the certificate $1 could not be made: $said"
}
