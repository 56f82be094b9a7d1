package seam

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
)

func TestNetworkFailureIsDescribedByItsCause(t *testing.T) {
	dial := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{Port: 41234}, Err: err}
	}
	invalid := func(err error) error { return &tls.CertificateVerificationError{Err: err} }
	const unknown = "the connection failed, or what answers does not speak HTTP: " + checkEndpoint
	for _, test := range []struct {
		err  error
		want string
	}{
		{dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), "connection refused"},
		{dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), "no route to host"},
		{dial(os.NewSyscallError("connect", syscall.ENETUNREACH)), "no route to host"},
		{dial(os.NewSyscallError("read", syscall.ECONNRESET)), "connection reset"},
		{dial(os.NewSyscallError("write", syscall.EPIPE)), "connection reset"},
		{dial(os.NewSyscallError("connect", syscall.ETIMEDOUT)), "timed out connecting"},
		{dial(os.ErrDeadlineExceeded), "timed out connecting"},
		{io.EOF, "connection reset"},
		{io.ErrUnexpectedEOF, "connection reset"},
		{dial(&net.DNSError{Name: "seam.test", IsNotFound: true}), "host not found: " + checkEndpoint},
		{dial(&net.DNSError{Name: "seam.test", Server: "10.0.0.1:53", IsTimeout: true}), "the lookup of the host failed"},
		{fmt.Errorf("proxyconnect: %w", proxyRefusal(403)), "the proxy refused the connection with status 403"},
		{invalid(x509.UnknownAuthorityError{}),
			"TLS: certificate signed by unknown authority: give the certificate of its CA with --seam-ca-file"},
		{invalid(x509.HostnameError{Certificate: &x509.Certificate{}}), "TLS: certificate is for another host: " + checkEndpoint},
		{invalid(x509.CertificateInvalidError{Reason: x509.Expired}), "TLS: certificate has expired or is not yet valid"},
		{invalid(x509.CertificateInvalidError{Reason: x509.NotAuthorizedToSign}), "TLS: certificate is not valid"},
		{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, "TLS: the server does not speak it: " + checkEndpoint},
		{tls.AlertError(40), "TLS: the server refused the handshake"},
		{errors.New("read tcp 10.0.0.1:41234->10.0.0.2:443: odd"), unknown},
	} {
		if got := describe(test.err); got != test.want {
			t.Errorf("%v: got %q, want %q", test.err, got, test.want)
		}
	}
}
