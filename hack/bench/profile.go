package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

// pprofAddress is where the operator serves profiles.
const pprofAddress = "127.0.0.1:16060"

// profileFlags let the operator be profiled, if that is wanted.
func (b *bench) profileFlags() []string {
	if b.profiles == "" {
		return nil
	}
	return []string{"--pprof-bind-address=" + pprofAddress}
}

// profileCPU takes a profile of the operator's CPU time for 15 s, if that is wanted, and tells when it has.
func (b *bench) profileCPU(ctx context.Context, n int) <-chan error {
	done := make(chan error, 1)
	go func() { done <- b.profile(ctx, n, "cpu", "profile?seconds=15") }()
	return done
}

// profile takes a profile of the operator with n sessions, if that is wanted.
func (b *bench) profile(ctx context.Context, n int, name, query string) error {
	if b.profiles == "" {
		return nil
	}
	path := filepath.Join(b.profiles, fmt.Sprintf("%s-%d.pprof", name, n))
	if err := download(ctx, "http://"+pprofAddress+"/debug/pprof/"+query, path); err != nil {
		return fmt.Errorf("profile of %s: %w", name, err)
	}
	return nil
}

func download(ctx context.Context, url, path string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	return os.WriteFile(path, body, 0o600)
}
