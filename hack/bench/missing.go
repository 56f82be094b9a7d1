package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

const (
	// fewMissing and manyMissing are how many sessions name Secrets that do not exist.
	fewMissing, manyMissing = 40, 3000
	// missingPeriod is how long their reads are counted.
	missingPeriod = 20 * time.Second
	// missingSettled is how long after the last has failed that begins.
	missingSettled = 5 * time.Second
	// mostWatches and mostGoroutines bound what is open however many fail.
	mostWatches, mostGoroutines = 64, 250
)

// measureMissing measures sessions that name Secrets which do not exist: first few, then many, then none again.
func (b *bench) measureMissing(ctx context.Context) error {
	return b.withOperator(ctx, func(c *cluster, o *operator) error {
		before, err := o.footprint(ctx)
		if err != nil {
			return err
		}
		if err := c.createMissing(ctx, "few", fewMissing); err != nil {
			return err
		}
		if err := b.addCorrected(ctx, c, "few", fewMissing, 5*time.Second); err != nil {
			return err
		}
		if err := errors.Join(c.createMissing(ctx, "many", manyMissing), b.addMissing(ctx, c, o, before)); err != nil {
			return err
		}
		if err := b.addCorrected(ctx, c, "many", manyMissing, time.Minute); err != nil {
			return err
		}
		if err := c.api.DeleteAllOf(ctx, &v1alpha1.SeamClientSession{}, client.InNamespace(namespace)); err != nil {
			return err
		}
		return b.addNothingLeft(ctx, o, before)
	})
}

// createMissing creates sessions, each with a credential of its own that does not exist, and waits until all have failed.
func (c *cluster) createMissing(ctx context.Context, prefix string, n int) error {
	already, err := c.failing(ctx)
	if err != nil {
		return err
	}
	err = c.createSessions(ctx, prefix, n, func(s *v1alpha1.SeamClientSession) { s.Spec.CredentialSecretRef.Name = "key-" + s.Name })
	if err != nil {
		return err
	}
	failing := 0
	_, err = within(ctx, 2*time.Second, patience, func() (bool, error) {
		failing, err = c.failing(ctx)
		return failing == already+n, err
	})
	if err == nil && failing != already+n {
		err = fmt.Errorf("%d of %d sessions without a credential have failed", failing-already, n)
	}
	return err
}

// addMissing adds what many of them cost while nothing changes.
func (b *bench) addMissing(ctx context.Context, c *cluster, o *operator, before footprint) error {
	const name = "Secrets that do not exist"
	now, errNow := o.footprint(ctx)
	watches, errWatches := c.openWatches(ctx)
	errPause := pause(ctx, missingSettled)
	reads, errReads := c.reads(ctx)
	if err := errors.Join(errNow, errWatches, errPause, errReads, pause(ctx, missingPeriod)); err != nil {
		return err
	}
	after, err := c.reads(ctx)
	if err != nil {
		return err
	}
	b.add(manyMissing, name+": reads of Secrets a second", (after-reads)/missingPeriod.Seconds(), "1/s", atMost(20))
	b.add(manyMissing, name+": watches of Secrets", watches, "", countAtMost(mostWatches))
	b.add(manyMissing, name+": goroutines more than before", now.goroutines-before.goroutines, "", countAtMost(mostGoroutines))
	return b.addKept(ctx, manyMissing, name, o, before, 25)
}

// reads counts the reads of Secrets, watches that have ended among them.
func (c *cluster) reads(ctx context.Context) (float64, error) {
	requests, err := c.requests(ctx)
	return requests["GET secrets"] + requests["LIST secrets"] + requests["WATCH secrets"], err
}

// addCorrected creates the credential of one session, and adds how long it takes until that is Ready.
func (b *bench) addCorrected(ctx context.Context, c *cluster, prefix string, n int, most time.Duration) error {
	one := prefix + "-7"
	if err := c.createCredential(ctx, "key-"+one, seamtest.APIKey1); err != nil {
		return err
	}
	took, err := within(ctx, look, most+most/2, func() (bool, error) { return c.isReady(ctx, one) })
	b.add(n, "Secrets that do not exist: seconds until one is noticed that is created", took.Seconds(), "s", atMost(most.Seconds()))
	return err
}

// addNothingLeft adds what is kept once the sessions are deleted.
func (b *bench) addNothingLeft(ctx context.Context, o *operator, before footprint) error {
	if err := pause(ctx, forgotten); err != nil {
		return err
	}
	now, err := o.footprint(ctx)
	if err != nil {
		return err
	}
	b.add(0, "the same, once the sessions are deleted: goroutines more than before", now.goroutines-before.goroutines, "", countAtMost(10))
	// client-go keeps each event for six minutes, to recognize a series.
	b.add(0, "the same: memory kept", now.live-before.live, "MB", atMost(12))
	return nil
}
