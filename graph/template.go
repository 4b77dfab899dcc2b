package graph

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/graph/model"
	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/workflow"
	"github.com/belfryhq/belfry/workflow/condition"
	"github.com/belfryhq/belfry/workflow/template"
)

// preview renders a template. What is wrong with it is part of the answer.
func (r *Resolver) preview(ctx context.Context, env belfry.EnvironmentID, in *model.PreviewTemplateInput) (*model.TemplatePreview, error) {
	partials, err := r.Engine.Partials(ctx, env)
	if err != nil {
		return nil, err
	}
	scope, err := r.previewScope(ctx, env, in)
	if err != nil {
		return nil, err
	}
	format := template.Text
	if in.Format == model.BodyFormatMarkdown {
		format = template.HTML
	}
	compiled, err := template.CompileWith(in.Template, format, partials)
	if err != nil {
		return &model.TemplatePreview{Problems: templateProblems(err)}, nil
	}
	out := &model.TemplatePreview{Problems: []model.TemplateProblem{}}
	text, err := compiled.Render(ctx, scope)
	if err == nil && format == template.HTML {
		var html string
		html, err = template.Markdown(text)
		out.HTML = &html
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return &model.TemplatePreview{Problems: templateProblems(err)}, nil
	}
	out.Rendered = &text
	return out, nil
}

// previewScope is what the template sees.
func (r *Resolver) previewScope(ctx context.Context, env belfry.EnvironmentID, in *model.PreviewTemplateInput) (map[string]any, error) {
	vars, err := r.Engine.Variables(ctx, env)
	if err != nil {
		return nil, err
	}
	data := in.Data
	if data == nil {
		data = map[string]any{}
	}
	scope := map[string]any{"data": data, "vars": r.systemVariables(vars, in.Scope["tenant"]), "recipient": nil, "actor": nil, "tenant": nil}
	for name, id := range map[string]*string{"recipient": in.Recipient, "actor": in.Actor} {
		if id == nil {
			continue
		}
		if err := belfry.ValidateExternalID(*id, "input."+name); err != nil {
			return nil, err
		}
		user, err := nullable(r.Recipients.UserByExternalID(ctx, env, *id))
		if err != nil {
			return nil, err
		}
		if user == nil {
			return nil, belfry.Errorf(belfry.NotFound, "no user has the id %q: identify the user first", *id).At("input.%s", name)
		}
		scope[name] = user.Scope()
	}
	maps.Copy(scope, in.Scope)
	return scope, nil
}

// examplePublicURL stands in previews for an address that isn't set.
const examplePublicURL = "https://notify.example.com"

// systemVariables adds to vars what runs do. The links are examples: a preview gives nobody any right.
func (r *Resolver) systemVariables(own map[string]any, tenant any) map[string]any {
	links := recipient.ExampleLinks(cmp.Or(r.Recipients.PublicURL, examplePublicURL))
	properties, _ := tenant.(map[string]any)
	own[workflow.ManagePreferencesURL] = links.URL(recipient.Link{Purpose: recipient.ToPreferences})
	own[workflow.CommercialUnsubscribeURL] = links.URL(recipient.Link{Purpose: recipient.LeaveCommercial})
	own[workflow.BrandingVariable] = recipient.BrandingOf(properties).Scope()
	return own
}

func templateProblems(err error) []model.TemplateProblem {
	if e, ok := errors.AsType[*template.Error](err); ok {
		return []model.TemplateProblem{model.NewTemplateProblem(e)}
	}
	return []model.TemplateProblem{{Message: err.Error()}}
}

// convertCondition writes a condition in its other form. What is wrong with it is part of the answer.
func convertCondition(in *model.ConvertConditionInput) (*model.ConvertedCondition, error) {
	out := &model.ConvertedCondition{Problems: []model.WorkflowProblem{}}
	var err error
	switch {
	case (in.Expression == nil) == (in.Conditions == nil):
		return nil, belfry.Errorf(belfry.Invalid, "give exactly one of expression and conditions").At("input")
	case in.Expression != nil:
		if err := belfry.ValidateText(*in.Expression, "input.expression"); err != nil {
			return nil, err
		}
		if _, err := condition.CompileWith(*in.Expression, condition.Options{Event: true}); err != nil {
			out.Problems = conditionProblems("expression", err)
			return out, nil
		}
		out.Expression = in.Expression
		if group, ok := condition.Structured(*in.Expression); ok {
			out.Conditions, err = model.NewConditions(group)
		}
	default:
		group, wrong := groupOf(in.Conditions)
		if wrong != nil {
			out.Problems = conditionProblems("conditions", wrong)
			return out, nil
		}
		out.Conditions = in.Conditions
		if expression, ok := condition.Expression(group); ok {
			out.Expression = &expression
		}
	}
	out.Exact = out.Expression != nil && out.Conditions != nil
	return out, err
}

// groupOf reads structured conditions, and sees that they compile.
func groupOf(conditions map[string]any) (group condition.Group, err error) {
	b, err := json.Marshal(conditions)
	if err != nil {
		return group, err
	}
	if err := json.Unmarshal(b, &group); err != nil {
		return group, err
	}
	_, err = condition.CompileGroupWith(group, condition.Options{Event: true})
	return group, err
}

func conditionProblems(path string, err error) []model.WorkflowProblem {
	p := workflow.Problem{Path: path, Message: err.Error()}
	if e, ok := errors.AsType[*condition.Error](err); ok {
		p.Line, p.Column, p.Message = e.Line, e.Column, e.Message
		if e.Path != "" {
			p.Path += "." + e.Path
		}
	}
	return model.NewProblems([]workflow.Problem{p})
}
