package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/utils/clock"
)

// provisionSample is a session of a user whom Seam does not know.
const provisionSample, provisionedName, provisionedUser = "config/samples/connect_v1alpha1_seamclientsession_provision.yaml", "jane-provisioned", "shop-jane"

// playProvision has the operator make a session that nobody made, extend it before its end, and delete it at Seam with its object.
func (f fakeSeam) playProvision(ctx context.Context, s *stage) error {
	say("A session that nobody made: with spec.provision the operator makes it")
	fmt.Printf("%s.\nIt grants %s, though the sample asks for 24h, so that an extension is seen here.\n", f.provides, grantedLife)
	if err := s.kubectl(ctx, "apply", "-f", provisionSample); err != nil {
		return err
	}
	if err := s.kubectl(ctx, "wait", "--for=condition=Ready", "scs/"+provisionedName, "--timeout=20s"); err != nil {
		return err
	}
	made, err := f.sessionsOf(ctx, provisionedUser)
	if err != nil || len(made) != 1 {
		return errors.Join(err, fmt.Errorf("seam has %d sessions of %s, expected the one that was made", len(made), provisionedUser))
	}
	if err := s.expectToken(ctx, provisionedName, made[0].Token); err != nil {
		return err
	}
	if err := f.playExtension(ctx, s, made[0].ExpiresAt); err != nil {
		return err
	}

	say("The object is deleted, and with whenDeleted: Delete the session at Seam before it")
	if err := s.kubectl(ctx, "delete", "scs/"+provisionedName, "--timeout=30s"); err != nil {
		return err
	}
	if left, err := f.sessionsOf(ctx, provisionedUser); err != nil || len(left) > 0 {
		return errors.Join(err, fmt.Errorf("seam has %d sessions of %s, expected none", len(left), provisionedUser))
	}
	fmt.Println("Seam has no such session any more.")
	return s.kubectl(ctx, "get", "events", "--field-selector=involvedObject.name="+provisionedName, "-o", "custom-columns=REASON:.reason,MESSAGE:.message")
}

// playExtension waits until the operator has extended the session, and fails if that was not before its end.
func (f fakeSeam) playExtension(ctx context.Context, s *stage, end time.Time) error {
	say("Before its end the operator extends it, and nobody else does anything")
	stopWatch, err := s.watch("scs", provisionedName)
	if err != nil {
		return err
	}
	defer stopWatch()
	for {
		sessions, err := f.sessionsOf(ctx, provisionedUser)
		if err != nil || len(sessions) != 1 {
			return errors.Join(err, fmt.Errorf("seam has %d sessions of %s, expected one", len(sessions), provisionedUser))
		}
		left := end.Sub(clock.RealClock{}.Now())
		switch {
		case left <= 0:
			return fmt.Errorf("%s was not extended before its end at %s", provisionedName, end)
		case sessions[0].ExpiresAt.After(end):
			fmt.Printf("It was extended %s before its end.\n", left.Round(time.Second))
			written := "--for=jsonpath={.status.expiresAt}=" + sessions[0].ExpiresAt.UTC().Truncate(time.Second).Format(time.RFC3339)
			return s.kubectl(ctx, "wait", written, "scs/"+provisionedName, "--timeout=10s")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-clock.RealClock{}.After(200 * time.Millisecond):
		}
	}
}
