package seam

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
)

// maxSkew is how far our clock and Seam's may be apart: what Seam says of time is in its own.
const maxSkew = 30 * time.Second

// skewWatch notices when our clock and Seam's come apart, and when they agree again.
type skewWatch struct {
	mu     sync.Mutex
	skewed bool
}

// observe compares now with the answer's Date, and logs a change.
func (w *skewWatch) observe(ctx context.Context, now time.Time, header http.Header) {
	date := dateOf(header)
	if date.IsZero() {
		return
	}
	ahead := now.Sub(date)
	skewed := ahead.Abs() > maxSkew
	w.mu.Lock()
	changed := skewed != w.skewed
	w.skewed = skewed
	w.mu.Unlock()
	switch log := logr.FromContextOrDiscard(ctx); {
	case changed && skewed:
		log.Info("Warning: this clock and Seam's are apart, so tokens end earlier or later than it seems: check this node's time",
			"ahead", ahead.Round(time.Second).String())
	case changed:
		log.Info("This clock and Seam's agree again")
	}
}
