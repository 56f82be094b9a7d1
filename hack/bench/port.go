package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

const (
	// strangers is how many requests come from somebody without a credential.
	strangers = 150
	// large is how many bytes such a request carries: nearly all that a Go server reads, and that a Secret holds.
	large = 900_000
)

// stranger is a request with a large part, numbered so that each is another one.
type stranger func(ctx context.Context, url string, i int) (*http.Request, error)

func largeMethod(ctx context.Context, url string, i int) (*http.Request, error) {
	return withToken(ctx, fmt.Sprintf("%s%d", strings.Repeat("A", large), i), url, "wrong")
}

func largeToken(ctx context.Context, url string, i int) (*http.Request, error) {
	return withToken(ctx, http.MethodGet, url, fmt.Sprintf("%s%d", strings.Repeat("a", large), i))
}

func withToken(ctx context.Context, method, url, token string) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err == nil {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return request, err
}

// measurePort measures what a pod can cost that reaches the port of the metrics.
func (b *bench) measurePort(ctx context.Context) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	url := "https://" + address + "/metrics"
	return b.withOperator(ctx, func(c *cluster, o *operator) error {
		if err := ask(ctx, url, largeToken, 1, 1); err != nil { // the first costs connections, which stay
			return err
		}
		before, err := o.footprint(ctx)
		if err != nil {
			return err
		}
		return errors.Join(
			b.addStrangers(ctx, c, o, before, "methods of 900 kB", func() error { return ask(ctx, url, largeMethod, strangers, 1) }, countAtMost(0)),
			b.addStrangers(ctx, c, o, before, "tokens of 900 kB, all at once", func() error { return ask(ctx, url, largeToken, strangers, strangers) }),
		)
	}, "--metrics-secure", "--metrics-bind-address="+address)
}

// addStrangers adds what requests cost, and how many reviews by the API server.
func (b *bench) addStrangers(ctx context.Context, c *cluster, o *operator, before footprint, what string, do func() error, reviews ...target) error {
	name := fmt.Sprintf("metrics port, %d requests with %s", strangers, what)
	requests, err := c.requests(ctx)
	if err := errors.Join(err, do()); err != nil {
		return err
	}
	after, err := c.requests(ctx)
	if err != nil {
		return err
	}
	const review = "POST tokenreviews"
	b.add(0, name+": reviews", after[review]-requests[review], "", reviews...)
	if _, err := o.quiet(ctx); err != nil { // until the last connection is closed
		return err
	}
	return b.addKept(ctx, 0, name, o, before, 1)
}

// ask sends n requests, some at a time. Nothing but a success counts as wrong: a connection that the operator closes does not.
func ask(ctx context.Context, url string, request stranger, n, some int) error {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // self-signed at each start
	defer transport.CloseIdleConnections()
	return atATime(ctx, some, n, func(ctx context.Context, i int) error {
		r, err := request(ctx, url, i)
		if err != nil {
			return err
		}
		response, err := transport.RoundTrip(r)
		if err != nil {
			return nil //nolint:nilerr // refused earlier than by an answer
		}
		defer response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return errors.New("a stranger may read the metrics")
		}
		return nil
	})
}
