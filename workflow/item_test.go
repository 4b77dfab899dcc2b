package workflow_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow"
	"github.com/belfryhq/belfry/workflow/calendar"
)

func TestAnInAppStepSaysHowItsItemIsKept(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("k", belfry.MaxResourceKey)
	for name, c := range map[string]struct {
		step     workflow.InApp
		key      string
		want     *belfry.ItemOptions
		warnings int
	}{
		"nothing":       {step: workflow.InApp{Priority: belfry.NormalPriority}},
		"everything":    {workflow.InApp{ResourceKey: " invoice:{{ data.key }} ", Priority: belfry.HighPriority, Severity: belfry.ErrorSeverity, ExpiresAfter: &calendar.Duration{Unit: calendar.Days, Value: 2}, Replaces: true}, "17", &belfry.ItemOptions{ResourceKey: "invoice:17", Priority: belfry.HighPriority, Severity: belfry.ErrorSeverity, ExpiresAfter: 172800, Replaces: true}, 0},
		"longest key":   {workflow.InApp{ResourceKey: "{{ data.key }}"}, long, &belfry.ItemOptions{ResourceKey: long}, 0},
		"too long":      {workflow.InApp{ResourceKey: "{{ data.key }}", Replaces: true, Severity: belfry.InfoSeverity}, long + "k", &belfry.ItemOptions{Severity: belfry.InfoSeverity}, 1},
		"no key":        {workflow.InApp{ResourceKey: "{{ data.key }}", Replaces: true}, " ", nil, 0},
		"expires alone": {workflow.InApp{ExpiresAfter: &calendar.Duration{Unit: calendar.Seconds, Value: 1}}, "", &belfry.ItemOptions{ExpiresAfter: 1}, 0},
	} {
		got, err := render(t, c.step, map[string]any{"data": map[string]any{"key": c.key}})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.want, got.Content.Item); diff != "" || len(got.Warnings) != c.warnings {
			t.Errorf("%s: %v (-want +got):\n%s", name, got.Warnings, diff)
		}
	}
}

func TestBadItemOptionsAreNamed(t *testing.T) {
	t.Parallel()
	for path, step := range map[string]workflow.InApp{
		"steps[0].inApp.priority":          {Priority: "MEDIUM"},
		"steps[0].inApp.severity":          {Severity: "FATAL"},
		"steps[0].inApp.expiresAfter":      {ExpiresAfter: &calendar.Duration{Unit: calendar.Days, Value: 366}},
		"steps[0].inApp.expiresAfter.unit": {ExpiresAfter: &calendar.Duration{Unit: calendar.Months, Value: 1}},
		"steps[0].inApp.replaces":          {Replaces: true},
		"steps[0].inApp.resourceKey":       {ResourceKey: "{{ data.x"},
	} {
		step.Channel, step.Body, step.Format = "in-app", "x", workflow.Text
		_, problems := workflow.Compile(&workflow.Definition{Name: "x", Steps: []workflow.Step{{Ref: "a", InApp: &step}}}, nil)
		if len(problems) != 1 || problems[0].Path != path {
			t.Errorf("problems are %+v, want one at %s", problems, path)
		}
	}
}
