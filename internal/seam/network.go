package seam

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"syscall"
)

// proxyRefusal is the status with which a proxy refused to connect.
type proxyRefusal int

func (s proxyRefusal) Error() string { return "proxy answered " + strconv.Itoa(int(s)) }

// failure is the error of a call that got no answer. Its message depends on the cause alone: it holds no
// addresses and ports.
func (c *Client) failure(ctx, bounded context.Context, err error) error {
	if ctx.Err() != nil {
		return errGaveUp{fmt.Errorf("the call to seam was given up: %w", ctx.Err())}
	}
	cause := "timed out after " + c.timeout.String()
	if bounded.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
		cause = describe(err)
	}
	return &Error{Kind: Unavailable, message: "seam can't be reached: " + cause}
}

// describe names the cause of a network failure, the same each time it is the same.
func describe(err error) string {
	var (
		refusal proxyRefusal
		dns     *net.DNSError
		timeout net.Error
	)
	switch {
	case errors.As(err, &refusal):
		return "the proxy refused the connection with status " + strconv.Itoa(int(refusal))
	case errors.As(err, &dns) && dns.IsNotFound:
		return "host not found: " + checkEndpoint
	case errors.As(err, &dns):
		return "the lookup of the host failed"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route to host"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF): // which of them it is, is chance
		return "connection reset"
	}
	if cause := describeTLS(err); cause != "" {
		return "TLS: " + cause
	}
	if errors.As(err, &timeout) && timeout.Timeout() {
		return "timed out connecting"
	}
	return "the connection failed, or what answers does not speak HTTP: " + checkEndpoint
}

// describeTLS is describe for failures of TLS, and empty for others.
func describeTLS(err error) string {
	var (
		unknownCA   x509.UnknownAuthorityError
		wrongHost   x509.HostnameError
		certificate x509.CertificateInvalidError
		verify      *tls.CertificateVerificationError
		plain       tls.RecordHeaderError
		alert       tls.AlertError
	)
	switch {
	case errors.As(err, &unknownCA):
		return "certificate signed by unknown authority: give the certificate of its CA with --seam-ca-file"
	case errors.As(err, &wrongHost):
		return "certificate is for another host: " + checkEndpoint
	case errors.As(err, &certificate) && certificate.Reason == x509.Expired:
		return "certificate has expired or is not yet valid"
	case errors.As(err, &verify):
		return "certificate is not valid"
	case errors.As(err, &plain):
		return "the server does not speak it: " + checkEndpoint
	case errors.As(err, &alert):
		return "the server refused the handshake"
	}
	return ""
}
