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

// profile takes profiles of the operator, if that is wanted, and tells when it has: of CPU time for 15 s, then of the heap.
func (b *bench) profile(ctx context.Context, n int) <-chan error {
	done := make(chan error, 1)
	if b.profiles == "" {
		done <- nil
		return done
	}
	go func() {
		for _, profile := range []struct{ name, query string }{{"cpu", "profile?seconds=15"}, {"heap", "heap"}} {
			path := filepath.Join(b.profiles, fmt.Sprintf("%s-%d.pprof", profile.name, n))
			if err := download(ctx, "http://"+pprofAddress+"/debug/pprof/"+profile.query, path); err != nil {
				done <- fmt.Errorf("profile of %s: %w", profile.name, err)
				return
			}
		}
		done <- nil
	}()
	return done
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
