package main

import (
	"context"
	"os"
)

// seam is what the operator asks: a fake, or the real service.
type seam interface {
	url() string
	// play shows the operator at work, from the first session on, and fails if anything of it is not seen.
	play(ctx context.Context, s *stage) error
}

func chooseSeam(ctx context.Context, s *stage) (seam, error) {
	if key := os.Getenv("SEAM_API_KEY"); key != "" {
		return newRealSeam(key)
	}
	return startFake(ctx, s)
}
