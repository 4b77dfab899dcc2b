package engine

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/recipient"
)

// subscribe has recipients subscribe to an object, or unsubscribe from it: an object, by=…, and maybe properties.
func (s *scenario) subscribe(w *words, subscribe bool) error {
	object := reference(w.text())
	var parties []recipient.Party
	var refs []belfry.RecipientRef
	for _, name := range w.list("by") {
		ref := reference(name)
		parties, refs = append(parties, recipient.Party{Ref: ref}), append(refs, ref)
	}
	var properties map[string]any
	if v, ok := w.next(); ok {
		var err error
		if properties, err = v.object(); err != nil {
			return err
		}
	}
	if !subscribe {
		return all(s.Recipients.Unsubscribe(s.t.Context(), s.env, object, refs))
	}
	return all(s.Recipients.Subscribe(s.t.Context(), s.env, object, parties, properties))
}

// all fails if anything did.
func all(results []recipient.Result, err error) error {
	for _, r := range results {
		err = errors.Join(err, r.Err)
	}
	return err
}

// audience stores one: its key, and if=… for one with a condition.
func (s *scenario) audience(w *words) error {
	a := recipient.Audience{Key: w.text()}
	if v, ok := w.value("if"); ok {
		a.Condition = v.text
	}
	_, err := s.Recipients.UpsertAudience(s.t.Context(), s.env, a)
	return err
}

// join has users join an audience, or leave it.
func (s *scenario) join(w *words, join bool) error {
	key, tenant := w.text(), ""
	if v, ok := w.value("tenant"); ok {
		tenant = v.text
	}
	var parties []recipient.Party
	var refs []belfry.RecipientRef
	for _, name := range w.list("users") {
		parties, refs = append(parties, recipient.Party{Ref: belfry.User(name)}), append(refs, belfry.User(name))
	}
	if !join {
		return all(s.Recipients.RemoveMembers(s.t.Context(), s.env, key, refs, tenant))
	}
	return all(s.Recipients.AddMembers(s.t.Context(), s.env, key, parties, tenant))
}

// claimOnce does a single transaction, of so many runs at most.
func (s *scenario) claimOnce(w *words) error {
	size, err := strconv.Atoi(w.text())
	if err != nil {
		return err
	}
	before := s.BatchSize
	defer func() { s.BatchSize = before }()
	s.BatchSize = size
	_, err = (&worker{engine: s.Engine, rows: 1, bulkRows: 1}).work(s.t.Context())
	return err
}

// expectProgress checks how far a trigger is.
func (s *scenario) expectProgress(w *words) error {
	p, err := s.Progress(s.t.Context(), s.env, s.trigger(w.text()))
	if err != nil {
		return err
	}
	want := Progress{Expanding: w.flag("at") && w.flag("least")}
	for name, n := range map[string]*int{"recipients": &want.Recipients, "pending": &want.Pending, "waiting": &want.Waiting, "done": &want.Done,
		"cancelled": &want.Cancelled} {
		if v, ok := w.value(name); ok {
			if *n, err = strconv.Atoi(v.text); err != nil {
				return err
			}
		}
	}
	if *p != want {
		return fmt.Errorf("progress is %+v, want %+v", *p, want)
	}
	return nil
}
