package workflow_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow"
)

// render compiles a step that has to be right, and fills it in.
func render(t *testing.T, in workflow.InApp, scope map[string]any) (workflow.Rendered, error) {
	t.Helper()
	in.Channel = "in-app"
	if in.Format == "" {
		in.Format = workflow.Text
	}
	if in.Body == "" {
		in.Body = "x"
	}
	program, problems := workflow.Compile(&workflow.Definition{Name: "W", Steps: []workflow.Step{{Ref: "a", InApp: &in}}}, nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return program.Ops[0].Message.Render(t.Context(), scope)
}

func TestRender(t *testing.T) {
	t.Parallel()
	scope := map[string]any{"data": map[string]any{"x": "<b>*", "url": "https://example.com/?a=1&b=2", "bad": "javascript:1", "n": 3}}
	for name, c := range map[string]struct {
		in       workflow.InApp
		want     belfry.Content
		warnings int
	}{
		"text is as it is": {workflow.InApp{Body: "{{ data.x }}"}, belfry.Content{Body: belfry.Body{Format: belfry.TextBody, Content: "<b>*", Rendered: "<b>*"}}, 0},
		"markdown escapes values": {workflow.InApp{Format: workflow.Markdown, Body: "**Hi** {{ data.x }}<script>x</script>"},
			belfry.Content{Body: belfry.Body{Format: belfry.MarkdownBody, Content: "**Hi** &lt;b&gt;*<script>x</script>", Rendered: "<p><strong>Hi</strong> &lt;b&gt;*</p>\n"}}, 0},
		"links": {workflow.InApp{ActionURL: " {{ data.url }} ", Buttons: []workflow.Button{{Label: "{{ data.n }}", Action: "/{{ data.n }}"}, {Label: "bad", Action: "{{ data.bad }}"}, {Label: "none", Action: "{{ data.none }}"}}},
			belfry.Content{Body: x, ActionURL: "https://example.com/?a=1&b=2", Buttons: []belfry.Button{{Label: "3", Action: "/3"}}}, 2},
		"an unsafe action": {workflow.InApp{ActionURL: "{{ data.bad }}"}, belfry.Content{Body: x}, 1},
		"data": {workflow.InApp{Data: map[string]any{"s": "{{ data.n }}", "l": []any{"a", 1.0, nil, map[string]any{"{{ not }}": "{{ data.x }}"}}}},
			belfry.Content{Body: x, Data: map[string]any{"s": "3", "l": []any{"a", 1.0, nil, map[string]any{"{{ not }}": "<b>*"}}}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := render(t, c.in, scope)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got.Content); diff != "" {
				t.Errorf("content (-want +got):\n%s", diff)
			}
			if len(got.Warnings) != c.warnings {
				t.Errorf("warnings = %q, want %d", got.Warnings, c.warnings)
			}
		})
	}
}

var x = belfry.Body{Format: belfry.TextBody, Content: "x", Rendered: "x"}

func TestRenderBoundsData(t *testing.T) {
	t.Parallel()
	in := workflow.InApp{Data: map[string]any{"x": "{{ data.x }}"}}
	for n, ok := range map[int]bool{workflow.MaxDataSize - len(`{"x":""}`): true, workflow.MaxDataSize - len(`{"x":""}`) + 1: false} {
		got, err := render(t, in, map[string]any{"data": map[string]any{"x": strings.Repeat("<", n)}})
		if ok != (err == nil) {
			t.Errorf("%d bytes: %v", n, err)
		}
		if ok && got.Size != 2+workflow.MaxDataSize {
			t.Errorf("size = %d, want %d", got.Size, 2+workflow.MaxDataSize)
		}
	}
	// Rendering stops long before everything has been rendered.
	list := make([]any, workflow.MaxDataTemplates)
	for i := range list {
		list[i] = "{{ data.x }}"
	}
	_, err := render(t, workflow.InApp{Data: map[string]any{"l": list}}, map[string]any{"data": map[string]any{"x": strings.Repeat("x", 60<<10)}})
	if err == nil || !strings.Contains(err.Error(), "l: [1]") {
		t.Errorf("error = %v, want one at the second entry", err)
	}
}

func TestRenderErrorsSayWhere(t *testing.T) {
	t.Parallel()
	const bad = "{{ 1 | divided_by: 0 }}"
	for where, in := range map[string]workflow.InApp{
		"body: ":              {Body: bad},
		"actionUrl: ":         {ActionURL: bad},
		"buttons[0].label: ":  {Buttons: []workflow.Button{{Label: bad, Action: "/"}}},
		"buttons[0].action: ": {Buttons: []workflow.Button{{Label: "x", Action: "/" + bad}}},
		"data: k: [1]: ":      {Data: map[string]any{"k": []any{"", bad}}},
	} {
		if _, err := render(t, in, nil); err == nil || !strings.HasPrefix(err.Error(), where) {
			t.Errorf("error = %v, want one that begins with %q", err, where)
		}
	}
}

func TestRenderStopsWithItsContext(t *testing.T) {
	t.Parallel()
	program, _ := workflow.Compile(parse(t, steps(inApp("a", "", `, "data": {"x": "{{ data.x }}"}`))), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := program.Ops[0].Message.Render(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
}

func TestRenderSharesNothing(t *testing.T) {
	t.Parallel()
	program, _ := workflow.Compile(parse(t, steps(inApp("a", "", `, "data": {"l": [{"k": 1}]}`))), nil)
	first, err := program.Ops[0].Message.Render(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	first.Content.Data["l"].([]any)[0].(map[string]any)["k"] = "changed"
	second, _ := program.Ops[0].Message.Render(t.Context(), nil)
	if diff := cmp.Diff(map[string]any{"l": []any{map[string]any{"k": 1.0}}}, second.Content.Data); diff != "" {
		t.Errorf("data of the second message (-want +got):\n%s", diff)
	}
}
