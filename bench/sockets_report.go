package main

import (
	"fmt"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// cost is the milliseconds of processor time that 1000 deliveries take.
func (s socketSample) cost() float64 {
	return s.cpu.Seconds() * 1000 / float64(s.deliveries) * 1000
}

func (s socketSample) quantile(q float64) string { return histogramQuantile(s.times, q) }

func histogramQuantile(h *hdrhistogram.Histogram, q float64) string {
	return fmt.Sprintf("%.2f", float64(h.ValueAtQuantile(q))/1000)
}

// each is a figure of all rounds of a peer; nil if it wasn't measured.
func (c *compared) each(peer string, figure func(socketSample) float64) (out []float64) {
	for _, s := range c.calm[peer] {
		out = append(out, figure(s))
	}
	return out
}

// beside is a figure of a peer in Belfry's, by rounds.
func (c *compared) beside(peer string, figure func(socketSample) float64) string {
	ours, theirs := c.each("belfry", figure), c.each(peer, figure)
	if len(ours) != len(theirs) {
		return ""
	}
	ratios := make([]float64, len(ours))
	for i := range ours {
		if ours[i] <= 0 {
			return ""
		}
		ratios[i] = theirs[i] / ours[i]
	}
	return spread("%.2f", ratios)
}

// socketCosts is the table of memory and processor time.
func (r *report) socketCosts() table {
	s, c := r.options.sockets, r.sockets
	t := table{title: "WebSockets: what connections and deliveries cost the server",
		note: fmt.Sprintf("One subscription each. KiB of resident memory for an idle connection, after garbage collection and less that of the empty server; KiB of the kernel's slab on the whole machine, for both ends; milliseconds of processor time for 1000 deliveries, without what waking up to publish takes, at %d/s over %d connections for %s. Median of %d rounds (lowest to highest); beside Belfry's: by rounds.",
			s.rate, s.idle[len(s.idle)-1], s.pace, r.rounds)}
	head := []string{"server"}
	for _, n := range s.idle {
		head = append(head, fmt.Sprintf("KiB at %d", n), "beside Belfry's", "slab KiB", "goroutines")
	}
	t.rows = [][]string{append(head, "CPU ms for 1000", "beside Belfry's")}
	for _, peer := range s.peers {
		row := []string{peerNames[peer]}
		for i := range s.idle {
			of := func(figure func(idleSample) float64) func(socketSample) float64 {
				return func(s socketSample) float64 { return figure(s.idle[i]) }
			}
			rss := of(func(s idleSample) float64 { return s.rss / 1024 })
			goroutines := ""
			if peer != "node" {
				goroutines = fmt.Sprintf("%.2f", median(c.each(peer, of(func(s idleSample) float64 { return s.goroutines }))))
			}
			row = append(row, spread("%.1f", c.each(peer, rss)), c.beside(peer, rss),
				spread("%.1f", c.each(peer, of(func(s idleSample) float64 { return s.slab / 1024 }))), goroutines)
		}
		t.rows = append(t.rows, append(row, spread("%.1f", c.each(peer, socketSample.cost)), c.beside(peer, socketSample.cost)))
	}
	return t
}

// socketTimes is the table of the times of these deliveries.
func (r *report) socketTimes() table {
	s, c := r.options.sockets, r.sockets
	t := table{title: "WebSockets: from the publication to the frame",
		note: "Milliseconds from the instant at which the schedule wanted it published to the frame at the client, of the same deliveries; all rounds together (p99: median of the rounds, lowest to highest).",
		rows: [][]string{{"server", "count", "p50", "p90", "p99", "max", "p99 beside Belfry's"}}}
	p99 := func(s socketSample) float64 { return float64(s.times.ValueAtQuantile(99)) / 1000 }
	for _, peer := range s.peers {
		all := newTimes()
		for _, one := range c.calm[peer] {
			all.Merge(one.times)
		}
		row := append([]string{peerNames[peer]}, histogramCells(all)...)
		row[4] = spread("%.2f", c.each(peer, p99))
		t.rows = append(t.rows, append(row, c.beside(peer, p99)))
	}
	return t
}

// histogramCells is count, p50, p90, p99, max.
func histogramCells(h *hdrhistogram.Histogram) []string {
	return []string{fmt.Sprint(h.TotalCount()), histogramQuantile(h, 50), histogramQuantile(h, 90), histogramQuantile(h, 99),
		fmt.Sprintf("%.2f", float64(h.Max())/1000)}
}

// slowSockets is the table of clients that don't read.
func (r *report) slowSockets() table {
	s := r.options.sockets.slow
	t := table{title: "WebSockets: beside clients that don't read",
		note: fmt.Sprintf("%d of %d clients stop reading, with small buffers, while each of them is sent %d notices of %d KiB a second. Milliseconds to the frames of the others, %d/s, while all read and while some don't; how many the server had let go of within %s, and seconds until the last. One round.",
			s.slow, s.connections, s.pour, s.pad>>10, s.rate, s.pace+s.grace),
		rows: [][]string{{"server", "p50 while all read", "p99", "p50 beside them", "p99", "let go of", "after"}}}
	for _, peer := range r.options.sockets.peers {
		x, after := r.sockets.slow[peer], ""
		if x.gone > 0 {
			after = fmt.Sprintf("%.1f", x.last.Seconds())
		}
		t.rows = append(t.rows, []string{peerNames[peer], histogramQuantile(x.without, 50), histogramQuantile(x.without, 99),
			histogramQuantile(x.with, 50), histogramQuantile(x.with, 99), fmt.Sprintf("%d of %d", x.gone, s.slow), after})
	}
	return t
}

// stormSockets is the table of reconnect storms.
func (r *report) stormSockets() table {
	s := r.options.sockets.storm
	t := table{title: "WebSockets: all clients come back at once",
		note: fmt.Sprintf("%d connections are cut, and come back at random within %s, while %d messages a second go on. Seconds from the cut until the last client has been told what it missed, and is live; attempts that failed and were made again; messages that were lost, came twice, or came late. One round. Belfry and gqlgen's transport store each message and tell again from PostgreSQL; centrifuge tells again from memory; the server on Node doesn't tell again.",
			s.connections, s.within, s.rate),
		rows: [][]string{{"server", "all caught up after", "attempts again", "messages", "lost", "twice", "in disorder"}}}
	for _, peer := range r.options.sockets.peers {
		x := r.sockets.storms[peer]
		t.rows = append(t.rows, []string{peerNames[peer], fmt.Sprintf("%.2f", x.caughtUp.Seconds()), fmt.Sprint(x.refused), fmt.Sprint(x.sent),
			fmt.Sprint(x.faults.lost), fmt.Sprint(x.faults.doubled), fmt.Sprint(x.faults.disordered)})
	}
	return t
}
