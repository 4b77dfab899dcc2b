package engine

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/workflow"
)

// commands are what statements may begin with.
var commands = map[string]func(*scenario, *words) error{
	"user": func(s *scenario, w *words) error { return s.person(belfry.User(w.text()), w) },
	"tenant": func(s *scenario, w *words) error {
		return s.person(belfry.RecipientRef{Collection: belfry.Tenants, ExternalID: w.text()}, w)
	},
	"prefer":      (*scenario).prefer,
	"default":     (*scenario).defaults,
	"reach":       (*scenario).reach, // somebody on a channel of a type
	"object":      func(s *scenario, w *words) error { return s.person(reference(w.text()), w) },
	"subscribe":   func(s *scenario, w *words) error { return s.subscribe(w, true) },
	"unsubscribe": func(s *scenario, w *words) error { return s.subscribe(w, false) },
	"audience":    (*scenario).audience,
	"join":        func(s *scenario, w *words) error { return s.join(w, true) },
	"leave":       func(s *scenario, w *words) error { return s.join(w, false) },
	"claim":       (*scenario).claimOnce,
	"forget":      (*scenario).forget,
	"variable":    (*scenario).variable,
	"partial":     func(s *scenario, w *words) error { return s.SetPartial(s.t.Context(), s.env, w.text(), w.text()) },
	"trigger":     (*scenario).request,
	"cancel":      (*scenario).cancel,
	"activate":    func(s *scenario, w *words) error { return s.activate(w.text(), true) },
	"deactivate":  func(s *scenario, w *words) error { return s.activate(w.text(), false) },
	"event":       (*scenario).event,
	"late":        (*scenario).late,
	"mark":        (*scenario).marks,
	"respond":     func(s *scenario, w *words) error { return s.server.respond(w.text(), w.text(), w.text()) },
	"advance":     (*scenario).advance,
	"jump":        (*scenario).jump,
	"at":          (*scenario).at,
	"stop":        func(s *scenario, _ *words) error { s.stopped = true; return nil },
	"start":       func(s *scenario, _ *words) error { s.stopped = false; return nil },
	"expect":      (*scenario).expect,
}

// run does what a script says. After each statement the engine does whatever there is to do.
func (s *scenario) run(c script) {
	s.t.Helper()
	for _, statement := range splitStatements(c.line, strings.ReplaceAll(c.text, "http://server", s.server.url)) {
		s.line = statement.line
		if name, ok := strings.CutPrefix(statement.text, "workflow "); ok {
			s.check(s.define(name, statement.inner()))
			continue
		}
		w, err := splitWords(statement.whole())
		s.check(err)
		name := w.text()
		do := commands[name]
		if do == nil {
			s.fail("no statement begins with %q", name)
		}
		failure, refused := words(nil), false
		if name != "expect" {
			failure, refused = w.after("fails")
		}
		err = do(s, &w)
		switch {
		case refused && err == nil:
			s.fail("it should have failed with %s", failure)
		case refused:
			s.check(sameFailure(err, failure))
		case err != nil:
			s.fail("%v", err)
		}
		if len(w) > 0 {
			s.fail("what does %q mean here?", w.String())
		}
		if !passive[name] {
			s.settle()
		}
	}
}

// passive are statements after which there is nothing to do.
var passive = map[string]bool{"expect": true, "variable": true, "partial": true, "respond": true, "stop": true, "forget": true, "deactivate": true, "claim": true}

// sameFailure checks an error against: CODE [field=…] [~ "part of the message"].
func sameFailure(err error, want words) error {
	code, field := want.text(), ""
	if v, ok := want.value("field"); ok {
		field = v.text
	}
	got, ok := errors.AsType[*belfry.Error](err)
	if !ok || string(got.Code) != code || field != "" && got.Field != field {
		return fmt.Errorf("error %s %w, want %s %s", belfry.CodeOf(err), err, code, field)
	}
	if want.flag("~") {
		if text := want.text(); !strings.Contains(err.Error(), text) {
			return fmt.Errorf("error %w doesn't say %q", err, text)
		}
	}
	return nil
}

// define stores a workflow: its key, and maybe: fails PATH ~ "part of the message".
func (s *scenario) define(name string, lines []statement) error {
	w, err := splitWords(name)
	if err != nil {
		return err
	}
	failure, refused := w.after("fails")
	key := w.text()
	d, err := readDefinition(key, lines)
	if err != nil {
		return err
	}
	_, problems, err := s.Upsert(s.t.Context(), s.env, key, d)
	if err != nil || !refused {
		if len(problems) > 0 {
			return fmt.Errorf("the workflow is refused: %+v", problems)
		}
		return err
	}
	path, text := failure.text(), ""
	if failure.flag("~") {
		text = failure.text()
	}
	if !slices.ContainsFunc(problems, func(p workflow.Problem) bool { return p.Path == path && strings.Contains(p.Message, text) }) {
		return fmt.Errorf("problems are %+v", problems)
	}
	return nil
}

// reference is whom a word means: a user, or collection/id.
func reference(name string) belfry.RecipientRef {
	if collection, id, ok := strings.Cut(name, "/"); ok {
		return belfry.RecipientRef{Collection: collection, ExternalID: id}
	}
	return belfry.User(name)
}

// person identifies somebody, by name=value and JSON.
func (s *scenario) person(ref belfry.RecipientRef, w *words) error {
	properties := map[string]any{}
	for len(*w) > 0 {
		next := (*w)[0]
		*w = (*w)[1:]
		if next.key != "" {
			properties[next.key] = next.text
			continue
		}
		object, err := next.object()
		if err != nil {
			return err
		}
		for k, v := range object {
			properties[k] = v
		}
	}
	return s.identify(ref, properties)
}

// prefer writes a preference set of somebody: replaces it, or, with the word, merges.
func (s *scenario) prefer(w *words) error {
	who, set := reference(w.text()), belfry.DefaultPreferences
	if v, ok := w.value("tenant"); ok {
		set = v.text
	}
	news, strategy, err := preferences(w, recipient.LevelOf(set))
	if err != nil {
		return err
	}
	_, err = s.Recipients.SetPreferences(s.t.Context(), s.env, who, set, news, strategy, false, "set")
	return err
}

// defaults writes the preferences of everybody who didn't say otherwise, in the environment or for a tenant.
func (s *scenario) defaults(w *words) error {
	tenant, ofTenant := w.value("tenant")
	level := belfry.EnvironmentLevel
	if ofTenant {
		level = belfry.TenantLevel
	}
	news, strategy, err := preferences(w, level)
	if err != nil {
		return err
	}
	_, err = s.Recipients.SetDefaults(s.t.Context(), s.env, tenant.text, news, strategy, "set")
	return err
}

func preferences(w *words, level belfry.PreferenceLevel) (*recipient.PreferenceSet, belfry.PreferenceStrategy, error) {
	strategy := belfry.ReplacePreferences
	if w.flag("merge") {
		strategy = belfry.MergePreferences
	}
	given, _ := w.next()
	content, err := given.object()
	if err != nil {
		return nil, "", err
	}
	news, err := recipient.ParsePreferences(content, level, "set")
	return news, strategy, err
}

// forget deletes a recipient, as if nobody had ever known it.
func (s *scenario) forget(w *words) error {
	ref := reference(w.text())
	_, err := s.pool.Exec(s.t.Context(), `DELETE FROM recipients WHERE environment_id = $1 AND collection = $2 AND external_id = $3`, s.env, ref.Collection, ref.ExternalID)
	return err
}

func (s *scenario) variable(w *words) error {
	name := w.text()
	value, _ := w.next()
	return s.SetVariable(s.t.Context(), s.env, name, value.anything())
}

func (s *scenario) activate(key string, active bool) error {
	_, err := s.SetActive(s.t.Context(), s.env, key, active)
	return err
}

// named is a recipient as a trigger names it.
func named(name string) Party { return Party{Ref: reference(name)} }

// request triggers a workflow.
func (s *scenario) request(w *words) error {
	r := Request{Workflow: w.text(), Sandbox: w.flag("sandbox"), SkipDelay: w.flag("skip_delay")}
	for _, name := range w.list("to") {
		p := named(name)
		if own, ok := w.value("to." + name); ok {
			data, err := own.object()
			if err != nil {
				return err
			}
			p.Data = data
		}
		r.Recipients = append(r.Recipients, p)
	}
	for _, key := range w.list("audience") {
		r.Recipients = append(r.Recipients, Party{Audience: key})
	}
	if identify, ok := w.value("identify"); ok {
		object, err := identify.object()
		if err != nil {
			return err
		}
		id, _ := object["id"].(string)
		delete(object, "id")
		r.Recipients = append(r.Recipients, Party{Identify: &recipient.Identity{RecipientRef: belfry.User(id), Properties: object}})
	}
	if actor, ok := w.value("actor"); ok {
		p := named(actor.text)
		r.Actor = &p
	}
	for key, field := range map[string]*string{"tenant": &r.Tenant, "key": &r.CancellationKey, "idempotency": &r.IdempotencyKey, "priority": (*string)(&r.Priority)} {
		if v, ok := w.value(key); ok {
			*field = v.text
		}
	}
	if data, ok := w.value("data"); ok {
		var err error
		if r.Data, err = data.object(); err != nil {
			return err
		}
	}
	rejected, label := w.list("rejects"), fmt.Sprintf("t%d", len(s.triggers)+1)
	if v, ok := w.value("as"); ok {
		label = v.text
	}
	a, err := s.Engine.Trigger(s.t.Context(), s.env, &r)
	if err != nil {
		return err
	}
	var got []string
	for _, x := range a.Rejected {
		got = append(got, r.Recipients[x.Index].ref().ExternalID+r.Recipients[x.Index].Audience)
	}
	if !slices.Equal(got, rejected) {
		return fmt.Errorf("rejected: %v, want %v", a.Rejected, rejected)
	}
	s.accepted = true
	s.triggers, s.labels[label] = append(s.triggers, a.Trigger.ID), a.Trigger.ID
	return nil
}

func (s *scenario) cancel(w *words) error {
	key, _ := w.value("key")
	var refs []belfry.RecipientRef
	for _, name := range w.list("to") {
		refs = append(refs, reference(name))
	}
	want, err := CancelResult{}, error(nil)
	for name, n := range map[string]*int{"cancelled": &want.Cancelled, "finished": &want.AlreadyFinished} {
		if v, ok := w.value(name); ok {
			if *n, err = strconv.Atoi(v.text); err != nil {
				return err
			}
		}
	}
	want.Uncounted = w.flag("uncounted")
	got, err := s.Cancel(s.t.Context(), s.env, w.text(), key.text, refs)
	if err == nil && *got != want {
		return fmt.Errorf("cancelled %+v; want %+v", *got, want)
	}
	return err
}

func (s *scenario) event(w *words) error {
	user, name := w.text(), w.text()
	var data map[string]any
	if v, ok := w.next(); ok {
		var err error
		if data, err = v.object(); err != nil {
			return err
		}
	}
	return s.SendEvent(s.t.Context(), s.env, user, name, data)
}

// late writes down for a run what a transaction does that saw it wait for an event, and commits when the wait is over.
func (s *scenario) late(w *words) error {
	r, err := s.find(w)
	if err != nil {
		return err
	}
	payload, err := encode(signal{Event: &Event{Type: workflow.CustomEvent, Name: w.text(), At: s.clock.now()}})
	if err != nil {
		return err
	}
	s.exec(`INSERT INTO signals (environment_id, recipient_id, trigger_id, at, payload)
		SELECT r.environment_id, recipient_id, trigger_id, $3, $4 FROM runs r JOIN recipients p ON p.id = recipient_id WHERE trigger_id = $1 AND p.external_id = $2`,
		r.trigger, r.user, s.clock.now(), string(payload))
	return nil
}

// marks marks somebody's newest message of a step, or everything in the feed.
func (s *scenario) marks(w *words) error {
	user, step, mark := w.text(), w.text(), w.text()
	only, named := w.value("run")
	except, some := w.value("except")
	all := s.messages()
	slices.Reverse(all)
	for _, m := range all {
		if m.UserID != user || step != "all" && m.StepRef != step || named && uuid.UUID(m.Trigger) != s.labels[only.text] {
			continue
		}
		if step != "all" {
			return s.mark(m.Seq, &m, mark)
		}
		if some {
			return s.markAll(&m, mark, except.text)
		}
		return s.markAll(&m, mark, "")
	}
	return fmt.Errorf("%s has no message of %s", user, step)
}

func (s *scenario) advance(w *words) error {
	d, err := readSpan(w.text())
	if err == nil {
		s.pass(s.clock.now().Add(d))
	}
	return err
}

func (s *scenario) jump(w *words) error {
	d, err := readSpan(w.text())
	if err == nil {
		s.clock.add(d)
	}
	return err
}

// readSpan reads a Go duration, or days: 3d.
func readSpan(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.Atoi(days)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(text)
}

func (s *scenario) at(w *words) error {
	at, err := time.Parse(time.RFC3339, w.text())
	if err != nil {
		return err
	}
	if !s.accepted {
		s.clock.add(at.Sub(s.clock.now()))
		return nil
	}
	s.pass(at)
	return nil
}
