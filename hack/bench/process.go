package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// ticksPerSecond is the unit of CPU time in /proc, which Linux fixes for user space.
const ticksPerSecond = 100

// operator is the operator as a process.
type operator struct {
	cmd  *exec.Cmd
	done chan struct{}
	// profiles is where it serves what it tells of its memory and its time.
	profiles string
}

func (c *cluster) startOperator(binary string, flags ...string) (*operator, error) {
	log, err := os.OpenFile(c.dir+"/operator.log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	profiles, err := freeAddress()
	if err != nil {
		return nil, err
	}
	args := append([]string{
		"--seam-endpoint=" + c.seam.URL(), "--metrics-bind-address=0", "--health-probe-bind-address=0", "--pprof-bind-address=" + profiles,
	}, flags...)
	cmd := exec.Command(binary, args...) //nolint:noctx // ended by stop, not by a context
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig())
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	o := &operator{cmd: cmd, done: make(chan struct{}), profiles: "http://" + profiles + "/debug/pprof/"}
	go func() { defer close(o.done); _ = cmd.Wait() }()
	return o, nil
}

// freeAddress is an address of this host that nobody listens at.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it returns at once
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// stop is kill -9.
func (o *operator) stop() {
	_ = o.cmd.Process.Kill()
	<-o.done
}

// cpu is the CPU time that the process has used.
func (o *operator) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", o.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, errUser := strconv.Atoi(fields[11])
	system, errSystem := strconv.Atoi(fields[12])
	return time.Duration(user+system) * time.Second / ticksPerSecond, errors.Join(errUser, errSystem)
}

// peak is the most memory in MB that the process has had, since its start or forgetPeak.
func (o *operator) peak() (float64, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", o.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[0] == "VmHWM:" {
			kilobytes, err := strconv.ParseFloat(fields[1], 64)
			return kilobytes / 1024, err
		}
	}
	return 0, errors.New("no VmHWM in /proc")
}

// forgetPeak makes the peak what the process has now.
func (o *operator) forgetPeak() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", o.cmd.Process.Pid), []byte("5"), 0o600)
}

// quiet waits until the process has used next to no CPU for a second, and returns when that second began.
func (o *operator) quiet(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	before, since := time.Duration(-1), time.Now()
	for {
		used, err := o.cpu()
		if err != nil {
			return time.Time{}, err
		}
		if before >= 0 && used-before <= 20*time.Millisecond {
			return since, nil
		}
		before, since = used, time.Now()
		select {
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		case <-ticker.C:
		}
	}
}
