# The image for those who build with docker; `make image` makes the same one without it.
# images/build has prepared the files: our programs, their shared libraries, CA certificates, a user.
#   images/build && docker build -t cryptopipeline:dev .
FROM scratch
COPY target/image/root/ /
ENV PATH=/usr/local/bin SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
WORKDIR /tmp
USER 65532:65532
CMD ["cryptopipeline", "--help"]
