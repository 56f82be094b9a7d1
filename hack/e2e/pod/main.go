// Command pod is what the pods of the end-to-end suite run, since their image has no shell:
//
//	pod seam           a Seam on :8080, with routes of its own to revoke credentials, delete sessions, slow it down, have
//	                   sessions live shorter and count how often one was fetched, and to show those of a user
//	pod hold           stays until it is told to end
//	pod cat FILE       prints a file
//	pod env NAME       prints an environment variable
//	pod post PATH BODY posts to the Seam in the same pod and prints the answer
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"k8s.io/utils/clock"

	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

const address = ":8080"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, append(os.Args[1:], "", "", "")); err != nil {
		fmt.Fprintln(os.Stderr, "pod:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch args[0] {
	case "seam":
		return serve(ctx)
	case "hold":
		<-ctx.Done()
		return nil
	case "cat":
		content, err := os.ReadFile(args[1])
		fmt.Print(string(content))
		return err
	case "env":
		fmt.Print(os.Getenv(args[1]))
		return nil
	case "post":
		return post(ctx, args[1], args[2])
	default:
		return fmt.Errorf("unknown command %q", args[0])
	}
}

func serve(ctx context.Context) error {
	seam := seamtest.New(nil)
	seam.Seed()
	mux := http.NewServeMux()
	mux.Handle("/", seam.Handler())
	mux.HandleFunc("POST /_e2e", func(w http.ResponseWriter, r *http.Request) {
		var order struct {
			Revoke, Delete                  string
			LatencySeconds, LifetimeSeconds *float64
		}
		if err := json.NewDecoder(r.Body).Decode(&order); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if order.Revoke != "" {
			seam.Revoke(order.Revoke)
		}
		if order.Delete != "" {
			seam.Delete(order.Delete)
		}
		if order.LatencySeconds != nil {
			seam.SetLatency(time.Duration(*order.LatencySeconds * float64(time.Second)))
		}
		if order.LifetimeSeconds != nil {
			seam.Behave(seamtest.Behaviour{MaxLifetime: time.Duration(*order.LifetimeSeconds * float64(time.Second))})
		}
		fmt.Fprint(w, seam.CallsTo("/client_sessions/get"))
	})
	mux.HandleFunc("POST /_e2e/sessions", func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ User string }
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"now": clock.RealClock{}.Now(), "sessions": seam.Sessions(asked.User)})
	})
	server := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.ListenAndServe(); ctx.Err() == nil {
		return err
	}
	return nil
}

func post(ctx context.Context, path, body string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1"+address+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("POST %s: status %d", path, response.StatusCode)
	}
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}
