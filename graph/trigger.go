package graph

import (
	"context"
	"errors"

	"github.com/99designs/gqlgen/graphql"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/graph/model"
)

// triggerAll makes each of many requests for itself.
func (r *Resolver) triggerAll(ctx context.Context, env belfry.EnvironmentID, inputs []model.TriggerWorkflowInput) ([]model.TriggerWorkflowResult, error) {
	if len(inputs) == 0 {
		return nil, belfry.Errorf(belfry.Invalid, "give 1 to %d triggers", MaxTriggers).At("input.triggers")
	}
	if len(inputs) > MaxTriggers {
		return nil, belfry.Beyond("input.triggers", MaxTriggers, "triggers")
	}
	out := make([]model.TriggerWorkflowResult, len(inputs))
	for i := range inputs {
		out[i] = r.triggerOne(ctx, env, i, &inputs[i])
	}
	return out, nil
}

// triggerOne makes the i-th of many requests. What goes wrong is the result of this one alone.
func (r *Resolver) triggerOne(ctx context.Context, env belfry.EnvironmentID, i int, in *model.TriggerWorkflowInput) model.TriggerWorkflowResult {
	request, err := in.Request()
	if err == nil {
		accepted, failed := r.Engine.Trigger(ctx, env, request)
		if failed == nil {
			return model.NewTriggerResult(i, accepted)
		}
		err = failed
	}
	if e, ok := errors.AsType[*belfry.Error](err); ok {
		return model.NewTriggerRefusal(i, err, e)
	}
	return model.NewTriggerFailure(logged(ctx, r.log, graphql.GetPath(ctx), err))
}
