package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
)

// profileCPU takes a profile of the operator's CPU time for 15 s, if that is wanted, and tells when it has.
func (b *bench) profileCPU(ctx context.Context, o *operator, n int) <-chan error {
	done := make(chan error, 1)
	go func() { done <- b.profile(ctx, o, n, "cpu", "profile?seconds=15") }()
	return done
}

// profile takes a profile of the operator with n sessions, if that is wanted.
func (b *bench) profile(ctx context.Context, o *operator, n int, name, query string) error {
	if b.profiles == "" {
		return nil
	}
	body, err := o.tells(ctx, query)
	if err != nil {
		return fmt.Errorf("profile of %s: %w", name, err)
	}
	return os.WriteFile(filepath.Join(b.profiles, fmt.Sprintf("%s-%d-%s.pprof", name, n, b.away)), body, 0o600)
}

var (
	heapInUse  = regexp.MustCompile(`# HeapAlloc = (\d+)`)
	stackInUse = regexp.MustCompile(`# Stack = (\d+)`)
	goroutines = regexp.MustCompile(`^goroutine profile: total (\d+)`)
)

// live is the memory in MB that is in use, for the heap and for stacks, once all garbage was collected: twice, since what is in
// a sync.Pool outlives one collection.
func (o *operator) live(ctx context.Context) (float64, error) {
	const collected = "heap?gc=1&debug=1"
	_, errFirst := o.tells(ctx, collected)
	body, err := o.tells(ctx, collected)
	if err := errors.Join(errFirst, err); err != nil {
		return 0, err
	}
	heap, errHeap := number(body, heapInUse)
	stacks, errStacks := number(body, stackInUse)
	return (heap + stacks) / (1 << 20), errors.Join(errHeap, errStacks)
}

func (o *operator) goroutines(ctx context.Context) (float64, error) {
	body, err := o.tells(ctx, "goroutine?debug=1")
	if err != nil {
		return 0, err
	}
	return number(body, goroutines)
}

// number finds a number in what the operator tells of itself.
func number(told []byte, pattern *regexp.Regexp) (float64, error) {
	match := pattern.FindSubmatch(told)
	if match == nil {
		return 0, fmt.Errorf("the operator does not tell %s", pattern)
	}
	return strconv.ParseFloat(string(match[1]), 64)
}

func (o *operator) tells(ctx context.Context, query string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, o.profiles+query, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}
