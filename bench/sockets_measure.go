package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	warmDevices = 100 // so many that all connections to the database are open
	stormLimit  = 2 * time.Minute
)

// calm measures connections to which nothing happens, then deliveries.
func (a *arena) calm(ctx context.Context, name string) (out socketSample, err error) {
	clients, err := a.start(ctx, name, 0)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, clients.stop()) }()
	if err := a.warm(ctx, clients); err != nil {
		return out, fmt.Errorf("warming up: %w", err)
	}
	empty, err := clients.peer.settle(ctx)
	if err != nil {
		return out, err
	}
	for _, n := range a.idle {
		if err := clients.connect(ctx, len(clients.devices), n); err != nil {
			return out, err
		}
		held, err := clients.peer.settle(ctx)
		if err != nil {
			return out, err
		}
		each := func(total int64) float64 { return float64(total) / float64(n) }
		out.idle = append(out.idle, idleSample{connections: n, rss: each(held.rss - empty.rss), slab: each(held.slab - empty.slab),
			goroutines: each(int64(held.goroutines - empty.goroutines))})
	}
	users := len(clients.devices)
	warm := pour{Users: users, Rate: a.rate, Count: a.rate / 2}
	if _, err := deliver(ctx, clients, warm); err != nil {
		return out, err
	}
	out.deliveries = int(float64(a.rate) * a.pace.Seconds())
	load := pour{Users: users, Rate: a.rate, Count: out.deliveries}
	ticking, err := clients.peer.computing(func() error { return clients.peer.order(ctx, "tick", load) })
	if err != nil {
		return out, err
	}
	delivering, err := clients.peer.computing(func() (err error) {
		_, err = deliver(ctx, clients, load)
		return err
	})
	out.cpu, out.times = delivering-ticking, clients.meter.times()
	return out, err
}

// deliver has loads published and received, and times them.
func deliver(ctx context.Context, clients *audience, loads ...pour) (count int, err error) {
	clients.meter.reset()
	if err := clients.publish(ctx, loads...); err != nil {
		return 0, err
	}
	for _, load := range loads {
		for k := range load.Count {
			if load.First+k%load.Users >= clients.slow {
				count++
			}
		}
	}
	if err := clients.receive(ctx, count); err != nil {
		return 0, err
	}
	return count, clients.verify(0)
}

// warm has the server do everything once, for what is there once isn't a connection's. Its users aren't those of the
// measurement, whose feeds have to begin with it.
func (a *arena) warm(ctx context.Context, clients *audience) error {
	first := a.config.Users - warmDevices
	if err := clients.connect(ctx, first, a.config.Users); err != nil {
		return err
	}
	if _, err := deliver(ctx, clients, pour{First: first, Users: warmDevices, Rate: 100, Count: 5 * warmDevices}); err != nil {
		return err
	}
	clients.drop()
	return nil
}

// slowReaders measures what some clients that don't read cost the others, and how long the server bears with them. What
// these are sent is stored: whoever falls behind is told from there.
func (a *arena) slowReaders(ctx context.Context, name string) (out slowSample, err error) {
	clients, err := a.start(ctx, name, a.slow.slow)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, clients.stop()) }()
	s := a.slow
	clients.slow = s.slow
	if err := clients.connect(ctx, 0, s.connections); err != nil {
		return out, err
	}
	loads := func(d time.Duration) []pour {
		each := func(rate int) int { return max(1, int(float64(rate)*d.Seconds())) }
		return []pour{{First: s.slow, Users: s.connections - s.slow, Rate: s.rate, Count: each(s.rate)},
			{Users: s.slow, Rate: s.pour * s.slow, Count: each(s.pour * s.slow), Pad: s.pad}}
	}
	if _, err := deliver(ctx, clients, loads(s.calm/4)...); err != nil { // warming up
		return out, err
	}
	if _, err := deliver(ctx, clients, loads(s.calm)...); err != nil {
		return out, err
	}
	out.without = clients.meter.times()
	clients.meter.reset()
	clients.stall(clients.devices[:s.slow])
	group, measuring := errgroup.WithContext(ctx)
	busy := loads(s.pace)
	group.Go(func() error { return clients.publish(measuring, busy...) })
	group.Go(func() (err error) {
		out.gone, out.last, err = clients.released(measuring, clients.devices[:s.slow], s.pace+s.grace)
		return err
	})
	if err := group.Wait(); err != nil {
		return out, err
	}
	if err := clients.receive(ctx, busy[0].Count); err != nil {
		return out, err
	}
	out.with = clients.meter.times()
	return out, clients.verify(s.slow)
}

// released waits until the server has ended the connections of devices, for a while. It returns how many it has, and when
// the last.
func (a *audience) released(ctx context.Context, devices []*device, within time.Duration) (gone int, last time.Duration, err error) {
	var addresses []*net.TCPAddr
	for _, d := range devices {
		addresses = append(addresses, d.ws.conn.LocalAddr().(*net.TCPAddr))
	}
	for began := time.Now(); time.Since(began) < within && gone < len(devices); {
		open, err := a.peer.open(addresses)
		if err != nil {
			return gone, last, err
		}
		if n := len(devices) - open; n > gone {
			gone, last = n, time.Since(began)
		}
		if err := pause(ctx, 10*meterInterval); err != nil {
			return gone, last, err
		}
	}
	return gone, last, nil
}

// storms cuts all connections and has the clients come back, while messages go on.
func (a *arena) storms(ctx context.Context, name string) (out stormSample, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, stormLimit, fmt.Errorf("%s: not all clients were live again within %s", name, stormLimit))
	defer cancel()
	clients, err := a.start(ctx, name, a.storm.connections)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, clients.stop()) }()
	s := a.storm
	if err := clients.connect(ctx, 0, s.connections); err != nil {
		return out, err
	}
	load := pour{Users: s.connections, Rate: s.rate}
	load.Count = int(float64(s.rate) * (3 * s.within).Seconds())
	out.sent = load.Count
	group, raging := errgroup.WithContext(ctx)
	group.Go(func() error { return clients.publish(raging, load) })
	if err := pause(raging, s.within/3); err != nil {
		return out, errors.Join(err, group.Wait())
	}
	if err := clients.verifyAlive(0); err != nil {
		return out, errors.Join(err, group.Wait())
	}
	began := time.Now()
	clients.cut()
	back, coming := errgroup.WithContext(raging)
	for _, d := range clients.devices {
		back.Go(func() error { return d.comeBack(coming, s.within) })
	}
	if err := back.Wait(); err != nil {
		return out, errors.Join(err, clients.reason, group.Wait()) // nobody writes the reason any more
	}
	out.caughtUp = time.Since(began)
	if err := group.Wait(); err != nil {
		return out, err
	}
	if err := clients.receive(ctx, load.Count); err != nil {
		return out, err
	}
	out.faults, out.refused = clients.faults(), clients.refused.Load()
	return out, clients.verifyAlive(0)
}
