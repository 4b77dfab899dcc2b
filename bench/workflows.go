package main

import (
	"fmt"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow"
	"github.com/belfryhq/belfry/workflow/calendar"
)

const (
	environment = "bench"
	batchSize   = 5           // triggers that one message of the batch workflow sums up
	delayTime   = time.Second // the shortest there is
)

// task is what a unit of a load is: a run of a workflow on one side, an empty job on the other.
type task struct {
	name       string // in tables
	key        string // of the workflow
	definition workflow.Definition
	rendered   string // regular expression that the HTML of every message matches
	joins      int    // triggers that one message sums up
	// delay is how long a run waits before its message. Jobs are then scheduled that much later than they are inserted.
	delay time.Duration
}

// The message hands its number to the client, which is how latency finds its trigger again.
func shipped(body string) *workflow.InApp {
	return &workflow.InApp{Channel: belfry.DefaultFeed, Format: workflow.Markdown, Body: body, ActionURL: "/orders/{{ data.order }}",
		Data: map[string]any{"n": "{{ data.n }}"}}
}

const (
	shippedRef       = "shipped" // the step that sends the message, in every workflow
	shippedCondition = `data.total > 100 and recipient.plan == "pro"`
	shippedBody      = "Hi {{ recipient.name }}, order **{{ data.order }}** is on its way: {{ data.items }} {% if data.items == 1 %}item{% else %}items{% endif %}, {{ data.total }} €."
	gatheredBody     = "Hi {{ recipient.name }}, {{ total_activities }} orders are on their way:{% for a in activities %} **{{ a.order }}**{% endfor %}."
	shippedPattern   = `<strong>BF-[0-9]+</strong> is on its way: 3 items`
	gatheredPattern  = `5 orders are on their way:( <strong>BF-[0-9]+</strong>){5}`
)

var (
	// plain is a condition that reads the recipient and the data, and an in-app message of Liquid and Markdown.
	plain = task{name: "plain", key: "order-shipped", rendered: shippedPattern, joins: 1, definition: workflow.Definition{
		Name: "Order shipped", Categories: []string{"orders"}, Steps: []workflow.Step{
			{Ref: shippedRef, Condition: shippedCondition, InApp: shipped(shippedBody)}}}}

	// gathered is a batch that closes when it is full, a branch with that condition, and the message, which names all.
	gathered = task{name: "batch of 5", key: "orders-shipped", rendered: gatheredPattern, joins: batchSize, definition: workflow.Definition{
		Name: "Orders shipped", Categories: []string{"orders"}, Steps: []workflow.Step{
			{Ref: "gather", Batch: &workflow.Batch{MaxItems: batchSize, Window: workflow.Window{For: &calendar.Duration{Unit: calendar.Hours, Value: 1}}}},
			{Ref: "which", Branch: &workflow.Branch{Branches: []workflow.BranchPath{{
				Condition: shippedCondition,
				Steps:     []workflow.Step{{Ref: shippedRef, InApp: shipped(gatheredBody)}}}}}}}}}

	// delayed is plain behind a delay.
	delayed = task{name: "delay of 1 s", key: "order-shipped-late", rendered: shippedPattern, joins: 1, delay: delayTime, definition: workflow.Definition{
		Name: "Order shipped a while ago", Categories: []string{"orders"}, Steps: []workflow.Step{
			{Ref: "pause", Delay: &workflow.Delay{Window: workflow.Window{For: &calendar.Duration{Unit: calendar.Seconds, Value: int(delayTime.Seconds())}}}},
			{Ref: shippedRef, Condition: shippedCondition, InApp: shipped(shippedBody)}}}}

	// reminder waits for longer than anything here takes.
	reminder = task{name: "reminder", key: "order-reminder", definition: workflow.Definition{
		Name: "Order reminder", Categories: []string{"orders"}, Steps: []workflow.Step{
			{Ref: "pause", Delay: &workflow.Delay{Window: workflow.Window{For: &calendar.Duration{Unit: calendar.Days, Value: 30}}}},
			{Ref: shippedRef, Condition: shippedCondition, InApp: shipped(shippedBody)}}}}
)

var tasks = []*task{&plain, &gathered, &delayed, &reminder}

func orderData(n int) map[string]any {
	return map[string]any{"order": fmt.Sprintf("BF-%d", n), "items": 3, "total": 128.5, "n": n}
}

func userID(i int) string { return fmt.Sprintf("user-%06d", i) }
