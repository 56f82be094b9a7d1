package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
)

// realSeam is the real service, or whatever SEAM_ENDPOINT names, with a session of the user's choosing.
type realSeam struct {
	endpoint, key string
	spec          map[string]any
}

func newRealSeam(key string) (realSeam, error) {
	spec := map[string]any{"credentialSecretRef": map[string]any{"name": "seam"}}
	for field, variable := range map[string]string{
		"clientSessionID":   "SEAM_CLIENT_SESSION_ID",
		"userIdentifierKey": "SEAM_USER_IDENTIFIER_KEY",
		"workspaceID":       "SEAM_WORKSPACE_ID",
	} {
		if value := os.Getenv(variable); value != "" {
			spec[field] = value
		}
	}
	if (spec["clientSessionID"] == nil) == (spec["userIdentifierKey"] == nil) {
		return realSeam{}, errors.New("SEAM_API_KEY is set: set one of SEAM_CLIENT_SESSION_ID and SEAM_USER_IDENTIFIER_KEY too, to say which session to read")
	}
	endpoint := os.Getenv("SEAM_ENDPOINT")
	if endpoint == "" {
		endpoint = "https://connect.getseam.com"
	}
	say("Using Seam at " + endpoint)
	return realSeam{endpoint: endpoint, key: key, spec: spec}, nil
}

func (r realSeam) url() string { return r.endpoint }

func (r realSeam) play(ctx context.Context, s *stage) error {
	say("Creating a Secret with SEAM_API_KEY and a SeamClientSession, and waiting until it is Ready")
	objects := []map[string]any{
		{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "seam"}, "stringData": map[string]any{"SEAM_API_KEY": r.key}},
		{"apiVersion": "connect.seam.co/v1alpha1", "kind": "SeamClientSession", "metadata": map[string]any{"name": "mine"}, "spec": r.spec},
	}
	for _, object := range objects {
		manifest, err := json.Marshal(object)
		if err != nil {
			return err
		}
		if err := s.kubectlTo(ctx, os.Stdout, bytes.NewReader(manifest), "create", "-f", "-"); err != nil {
			return err
		}
	}
	if err := s.kubectl(ctx, "wait", "--for=condition=Ready", "scs/mine", "--timeout=60s"); err != nil {
		return errors.Join(err, s.kubectl(ctx, "get", "scs", "mine", "-o", "jsonpath={.status.conditions}{\"\\n\"}"))
	}
	say("What the operator says, and the Secret, whose token is not shown")
	if err := s.kubectl(ctx, "get", "scs", "-o", "wide"); err != nil {
		return err
	}
	if err := s.kubectl(ctx, "describe", "secret", "mine"); err != nil {
		return err
	}
	say("The operator only reads, so the rotation is yours: extend the session at Seam, and watch")
	s.hints = append(s.hints, "kubectl get scs -o wide --watch",
		`kubectl annotate scs mine --overwrite connect.seam.co/refresh-requested-at="$(date +%s)"`)
	return s.expectReportedToken(ctx, "mine")
}
