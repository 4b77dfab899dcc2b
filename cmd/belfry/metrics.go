package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// newMetrics makes the registry behind /metrics. The packages count in plain numbers; their names for Prometheus are
// given here.
func (n *belfryNode) newMetrics() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	counter := func(name, help string, labels prometheus.Labels, value func() float64) {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}, value))
	}
	gauge := func(name, help string, value func() float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	counter("belfry_triggers_total", "Triggers accepted by this node.", nil, func() float64 { return float64(n.engine.Stats().Triggers) })
	counter("belfry_runs_total", "Workflow runs written by this node.", prometheus.Labels{"status": "done"}, func() float64 { return float64(n.engine.Stats().RunsDone) })
	counter("belfry_runs_total", "Workflow runs written by this node.", prometheus.Labels{"status": "failed"}, func() float64 { return float64(n.engine.Stats().RunsFailed) })
	counter("belfry_runs_total", "Workflow runs written by this node.", prometheus.Labels{"status": "cancelled"}, func() float64 { return float64(n.engine.Stats().Cancelled) })
	counter("belfry_run_waits_total", "Times that a workflow run came to wait.", nil, func() float64 { return float64(n.engine.Stats().Waits) })
	counter("belfry_run_transactions_total", "Transactions that wrote workflow runs.", nil, func() float64 { return float64(n.engine.Stats().Batches) })
	counter("belfry_run_transaction_errors_total", "Transactions of workflow runs that were undone.", nil, func() float64 { return float64(n.engine.Stats().Errors) })
	gauge("belfry_run_lag_seconds", "For how long the oldest work of workflows (a trigger, a run, a batch) has been due; -1 if unknown.", seconds(n.engine.Lag))
	counter("belfry_messages_sent_total", "Messages that a provider took.", nil, func() float64 { return float64(n.delivery.Stats().Sent) })
	counter("belfry_message_failures_total", "Attempts to send a message that failed.", nil, func() float64 { return float64(n.delivery.Stats().Failed) })
	counter("belfry_messages_undelivered_total", "Messages given up, or refused by a provider for good.", nil, func() float64 { return float64(n.delivery.Stats().Undelivered) })
	counter("belfry_messages_bounced_total", "Messages whose address doesn't exist, or takes none.", nil, func() float64 { return float64(n.delivery.Stats().Bounced) })
	counter("belfry_messages_moved_total", "In-app messages that were held back, and went into their feed.", nil, func() float64 { return float64(n.delivery.Stats().Moved) })
	counter("belfry_delivery_outdated_total", "Outcomes that came when the lease was another node's.", nil, func() float64 { return float64(n.delivery.Stats().Outdated) })
	counter("belfry_delivery_transaction_errors_total", "Transactions of the delivery that were undone.", nil, func() float64 { return float64(n.delivery.Stats().Errors) })
	gauge("belfry_delivery_lag_seconds", "For how long the oldest message has been due; -1 if unknown.", seconds(n.delivery.Lag))
	gauge("belfry_websocket_connections", "Open WebSockets.", func() float64 { return float64(n.sockets.Connections()) })
	gauge("belfry_websocket_operations", "Operations running over WebSockets.", func() float64 { return float64(n.sockets.Stats().Operations) })
	counter("belfry_websockets_slow_total", "WebSockets cut off because their client read too slowly.", nil, func() float64 { return float64(n.sockets.Stats().Slow) })
	gauge("belfry_event_streams", "Open streams of server-sent events.", func() float64 { return float64(n.streams.Open()) })
	gauge("belfry_feed_subscriptions", "Feeds listened to through this node.", func() float64 { return float64(n.hub.Stats().Subscriptions) })
	counter("belfry_publications_total", "Feed changes handed to the bus.", nil, func() float64 { return float64(n.hub.Stats().Published) })
	counter("belfry_publication_failures_total", "Feed changes that the bus did not take: it is rung again later, and the sweep makes up for what remains.", nil, func() float64 { return float64(n.hub.Stats().PublishFailures) })
	counter("belfry_publications_late_total", "Feed changes that the bus took later, having failed to at first.", nil, func() float64 { return float64(n.hub.Stats().Bus.Late) })
	counter("belfry_bus_gaps_total", "Times that the bus may have lost something.", nil, func() float64 { return float64(n.hub.Stats().Gaps) })
	counter("belfry_bus_deliveries_dropped_total", "Feed changes that a subscription read too slowly to be given: it reads them from the database.", nil, func() float64 { return float64(n.hub.Stats().Dropped) })
	counter("belfry_bus_publications_dropped_total", "Feed changes from Redis that this node was too slow to take in: its feeds read them from the database.", nil, func() float64 { return float64(n.hub.Stats().Bus.Dropped) })
	counter("belfry_bus_reconnects_total", "Connections for subscriptions to Redis that were lost and are back.", nil, func() float64 { return float64(n.hub.Stats().Bus.Reconnects) })
	counter("belfry_bus_probe_failures_total", "Connections to Redis given up because they lived, but brought nothing.", nil, func() float64 { return float64(n.hub.Stats().Bus.FailedProbes) })
	counter("belfry_bus_partitions_moved_total", "Partitions found on another server of the Redis cluster than before.", nil, func() float64 { return float64(n.hub.Stats().Bus.Moved) })
	gauge("belfry_bus_connections", "Redis servers that this node is subscribed to at the moment; 0 without Redis.", func() float64 { return float64(n.hub.Stats().Bus.Connections) })
	counter("belfry_badge_drift_total", "Feeds whose counters were not what their items say, and were put right: must stay 0.", nil, func() float64 { return float64(n.feeds.Stats().BadgeDrift) })
	gauge("belfry_feed_lag_seconds", "For how long what happens to items by itself (they expire, come back), what marks on everything did, or operations on feeds have been due; -1 if unknown.", seconds(n.feeds.Lag))
	counter("belfry_segment_messages_total", "Messages delivered to Segment by this node.", nil, func() float64 { return float64(n.segment.Stats().Sent) })
	counter("belfry_segment_failures_total", "Attempts to deliver to Segment that failed.", nil, func() float64 { return float64(n.segment.Stats().Failed) })
	gauge("belfry_segment_lag_seconds", "Age of the oldest event that Segment still misses; -1 if unknown.", seconds(n.segment.Lag))
	gauge("belfry_database_connections", "Connections to PostgreSQL.", func() float64 { return float64(n.pool.Stat().TotalConns()) })
	gauge("belfry_database_connections_in_use", "Connections to PostgreSQL in use.", func() float64 { return float64(n.pool.Stat().AcquiredConns()) })
	return r
}

// seconds asks the database for a lag, for a while only: a scrape must not hang.
func seconds(lag func(context.Context) (time.Duration, error)) func() float64 {
	return func() float64 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		d, err := lag(ctx)
		if err != nil {
			return -1
		}
		return d.Seconds()
	}
}
