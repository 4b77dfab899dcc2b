package main

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// What operators are told to watch exists, and what exists is called as the packages call it.
func TestTheDocumentedMetricsExist(t *testing.T) {
	t.Parallel()
	n, _ := newNode(t)
	families, err := n.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range families {
		names = append(names, f.GetName())
	}
	manual, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := regexp.MustCompile("`(belfry_[a-z_]+)").FindAllSubmatch(manual, -1)
	if len(documented) < 10 {
		t.Fatalf("only %d metrics are documented", len(documented))
	}
	for _, m := range documented {
		if !slices.Contains(names, string(m[1])) {
			t.Errorf("docs/operations.md knows %s, which isn't exported", m[1])
		}
	}
	for _, name := range []string{"belfry_messages_sent_total", "belfry_messages_undelivered_total", "belfry_messages_bounced_total", "belfry_messages_moved_total",
		"belfry_message_failures_total", "belfry_delivery_outdated_total", "belfry_delivery_transaction_errors_total"} {
		if !slices.Contains(names, name) {
			t.Errorf("%s isn't exported", name)
		}
	}
}
