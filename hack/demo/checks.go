package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// expectToken fails unless the Secret holds that token.
func (s *stage) expectToken(ctx context.Context, secret, want string) error {
	got, err := s.secretToken(ctx, secret)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("secret %s holds token %q, expected %q", secret, got, want)
	}
	return nil
}

func (s *stage) secretToken(ctx context.Context, secret string) (string, error) {
	return s.kubectlGet(ctx, "get", "secret", secret, "-o", "go-template={{base64decode .data.token}}")
}

// expectRotatedBefore fails unless the token changed before that time.
func (s *stage) expectRotatedBefore(ctx context.Context, name string, end time.Time) error {
	value, err := s.kubectlGet(ctx, "get", "scs", name, "-o", "jsonpath={.status.lastRotationTime}")
	if err != nil {
		return err
	}
	rotated, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return fmt.Errorf("lastRotationTime of %s: %w", name, err)
	}
	if !rotated.Before(end) {
		return fmt.Errorf("%s was rotated at %s, after the token's end at %s", name, rotated, end)
	}
	fmt.Printf("The Secret changed %s before the old token's end.\n", end.Sub(rotated).Round(time.Second))
	return nil
}

// expectReportedToken fails unless the token in the Secret is the one that the status speaks of.
func (s *stage) expectReportedToken(ctx context.Context, name string) error {
	token, err := s.secretToken(ctx, name)
	if err != nil {
		return err
	}
	reported, err := s.kubectlGet(ctx, "get", "scs", name, "-o", "jsonpath={.status.tokenFingerprint}")
	if err != nil {
		return err
	}
	if token == "" || reported != fingerprint(token) {
		return fmt.Errorf("secret %s does not hold the token that the status of %s speaks of", name, name)
	}
	return nil
}

// fingerprint is what the status says of a token.
func fingerprint(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])[:12]
}
