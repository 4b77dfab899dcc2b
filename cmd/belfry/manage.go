package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/analytics"
	"github.com/belfryhq/belfry/auth"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/recipient"
)

// environmentsCommand makes and lists environments.
type environmentsCommand struct {
	Create createEnvironment `cmd:"" help:"Create an environment."`
	List   listEnvironments  `cmd:"" help:"List the environments."`
}

// keysCommand makes, lists and revokes API keys.
type keysCommand struct {
	Create createKey `cmd:"" help:"Create an API key and print it, once."`
	List   listKeys  `cmd:"" help:"List an environment's API keys."`
	Revoke revokeKey `cmd:"" help:"Revoke an API key. It stops working at once."`
}

// signingKeysCommand makes, lists and revokes signing keys.
type signingKeysCommand struct {
	Create createSigningKey `cmd:"" help:"Create a key pair; print the private half, once. Your backend signs user tokens with it."`
	Import importSigningKey `cmd:"" help:"Import the public half of a key pair of your own."`
	List   listSigningKeys  `cmd:"" help:"List an environment's signing keys."`
	Revoke revokeSigningKey `cmd:"" help:"Revoke a signing key. Its tokens stop working at once."`
}

// linkSecretsCommand replaces and revokes what links in messages are signed with.
type linkSecretsCommand struct {
	Rotate rotateLinkSecret  `cmd:"" help:"Sign links with a new secret. Links in messages that were sent go on working."`
	Revoke revokeLinkSecrets `cmd:"" help:"Forget all secrets but the newest: links that were made before the last rotation stop working at once."`
}

// segmentCommand says where an environment's engagement events go.
type segmentCommand struct {
	Set    setSegment    `cmd:"" help:"Send an environment's events to Segment, from now on."`
	Show   showSegment   `cmd:"" help:"Show whether and where an environment's events go, and whether they arrive."`
	Remove removeSegment `cmd:"" help:"Send no more events."`
}

// inEnvironment is what commands about one environment need.
type inEnvironment struct {
	database
	Environment string `required:"" short:"e" placeholder:"KEY" help:"Key of the environment."`
}

// open connects to a migrated database.
func (d *database) open(ctx context.Context) (*auth.Service, func(), error) {
	pool, err := postgres.Open(ctx, postgres.Config{URL: d.DatabaseURL, MaxConns: 2})
	if err != nil {
		return nil, nil, err
	}
	if err := postgres.Migrate(ctx, pool); err != nil {
		pool.Close()
		return nil, nil, err
	}
	return &auth.Service{Pool: pool, Now: time.Now}, pool.Close, nil
}

// with runs fn with the environment that the command names.
func (e *inEnvironment) with(ctx context.Context, fn func(*auth.Service, belfry.EnvironmentID) error) error {
	service, done, err := e.open(ctx)
	if err != nil {
		return err
	}
	defer done()
	environment, err := service.EnvironmentByKey(ctx, e.Environment)
	if err != nil {
		return fmt.Errorf("%w (belfry environments list shows them)", err)
	}
	return fn(service, environment.ID)
}

type createEnvironment struct {
	database
	Key string `arg:"" help:"Such as production or staging: a-z, 0-9, '_' and '-'."`
}

// Run creates the environment.
func (c *createEnvironment) Run(ctx context.Context, out io.Writer) error {
	service, done, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer done()
	e, err := service.CreateEnvironment(ctx, c.Key)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "Created the environment %s. Now give it keys:\n  belfry keys create secret --environment %s --name backend\n", e.Key, e.Key)
	return err
}

type listEnvironments struct{ database }

// Run lists the environments.
func (c *listEnvironments) Run(ctx context.Context, out io.Writer) error {
	service, done, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer done()
	list, err := service.ListEnvironments(ctx)
	if err != nil {
		return err
	}
	return table(out, "KEY\tCREATED", list, func(e auth.Environment) string {
		return fmt.Sprintf("%s\t%s", e.Key, e.CreatedAt.Format(time.RFC3339))
	})
}

type createKey struct {
	inEnvironment
	Kind string `arg:"" enum:"secret,public" help:"secret (for your backend) or public (for browsers and apps, together with a user token)."`
	Name string `required:"" help:"For people: who uses it."`
}

// Run creates the key.
func (c *createKey) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(service *auth.Service, env belfry.EnvironmentID) error {
		key, full, err := service.CreateAPIKey(ctx, env, auth.Kind(c.Kind), c.Name)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "%s\n\nThis is the %s key %d (%s). It is not stored and can't be shown again.\n", full, key.Kind, key.ID, key.Name)
		return err
	})
}

type listKeys struct{ inEnvironment }

// Run lists the keys.
func (c *listKeys) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(service *auth.Service, env belfry.EnvironmentID) error {
		list, err := service.ListAPIKeys(ctx, env)
		if err != nil {
			return err
		}
		return table(out, "ID\tKIND\tBEGINS WITH\tNAME\tCREATED\tREVOKED", list, func(k auth.APIKey) string {
			return fmt.Sprintf("%d\t%s\t%s\t%s\t%s\t%s", k.ID, k.Kind, k.Hint, k.Name, k.CreatedAt.Format(time.RFC3339), instant(k.RevokedAt))
		})
	})
}

type revokeKey struct {
	inEnvironment
	ID int64 `arg:"" help:"Its id, as belfry keys list shows it."`
}

// Run revokes the key.
func (c *revokeKey) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(service *auth.Service, env belfry.EnvironmentID) error {
		key, err := service.RevokeAPIKey(ctx, env, c.ID)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "The %s key %d (%s) no longer works.\n", key.Kind, key.ID, key.Name)
		return err
	})
}

type createSigningKey struct {
	inEnvironment
	Algorithm string `default:"EdDSA" enum:"EdDSA,RS256" help:"EdDSA or RS256."`
	Name      string `required:"" help:"For people: who signs with it."`
}

// Run creates the key pair.
func (c *createSigningKey) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(service *auth.Service, env belfry.EnvironmentID) error {
		key, private, err := service.CreateSigningKey(ctx, env, auth.Algorithm(c.Algorithm), c.Name)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "%s\nThis is the private half of the signing key %d (%s). It is not stored and can't be shown again.\n"+
			"Sign user tokens with it: alg %s, kid %s, claims sub (your user's id) and exp.\n", private, key.ID, key.Name, key.Algorithm, key.KID)
		return err
	})
}

type importSigningKey struct {
	inEnvironment
	File string `arg:"" type:"existingfile" help:"The public key, in PEM: Ed25519, or RSA of at least 2048 bits."`
	Name string `required:"" help:"For people: who signs with it."`
}

// Run imports the public key.
func (c *importSigningKey) Run(ctx context.Context, out io.Writer) error {
	pem, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	return c.with(ctx, func(service *auth.Service, env belfry.EnvironmentID) error {
		key, err := service.ImportSigningKey(ctx, env, c.Name, pem)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "Imported the signing key %d (%s): alg %s, kid %s.\n", key.ID, key.Name, key.Algorithm, key.KID)
		return err
	})
}

type listSigningKeys struct{ inEnvironment }

// Run lists the signing keys.
func (c *listSigningKeys) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(service *auth.Service, env belfry.EnvironmentID) error {
		list, err := service.ListSigningKeys(ctx, env)
		if err != nil {
			return err
		}
		return table(out, "ID\tALGORITHM\tKID\tNAME\tCREATED\tREVOKED", list, func(k auth.SigningKey) string {
			return fmt.Sprintf("%d\t%s\t%s\t%s\t%s\t%s", k.ID, k.Algorithm, k.KID, k.Name, k.CreatedAt.Format(time.RFC3339), instant(k.RevokedAt))
		})
	})
}

type revokeSigningKey struct {
	inEnvironment
	ID int64 `arg:"" help:"Its id, as belfry signing-keys list shows it."`
}

// Run revokes the signing key.
func (c *revokeSigningKey) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(service *auth.Service, env belfry.EnvironmentID) error {
		key, err := service.RevokeSigningKey(ctx, env, c.ID)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "Tokens of the signing key %d (%s) no longer work.\n", key.ID, key.Name)
		return err
	})
}

type rotateLinkSecret struct{ inEnvironment }

// Run makes a new secret.
func (c *rotateLinkSecret) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(service *auth.Service, env belfry.EnvironmentID) error {
		secrets, err := recipient.New(service.Pool, time.Now).RotateLinkSecret(ctx, env)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "New links of %s are signed with a new secret. Those of %d older ones work until belfry link-secrets revoke.\n", c.Environment, secrets-1)
		return err
	})
}

type revokeLinkSecrets struct{ inEnvironment }

// Run forgets the older secrets.
func (c *revokeLinkSecrets) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(service *auth.Service, env belfry.EnvironmentID) error {
		revoked, err := recipient.New(service.Pool, time.Now).RevokeLinkSecrets(ctx, env)
		if err != nil {
			return err
		}
		if revoked == 0 {
			_, err = fmt.Fprintf(out, "%s has one secret, which stays. To end its links, too: belfry link-secrets rotate first.\n", c.Environment)
			return err
		}
		_, err = fmt.Fprintf(out, "Links of %s that were signed with %d older secrets no longer work.\n", c.Environment, revoked)
		return err
	})
}

type setSegment struct {
	inEnvironment
	WriteKey string `required:"" env:"BELFRY_SEGMENT_WRITE_KEY" help:"Write key of the Segment source ($$BELFRY_SEGMENT_WRITE_KEY)."`
	Endpoint string `placeholder:"URL" help:"Base URL of something else that speaks Segment's protocol."`
}

// Run sets the destination.
func (c *setSegment) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(service *auth.Service, env belfry.EnvironmentID) error {
		if err := analytics.NewDestinations(service.Pool, time.Now).SetSegment(ctx, env, c.WriteKey, c.Endpoint); err != nil {
			return err
		}
		_, err := fmt.Fprintf(out, "From now on the events of %s go to Segment.\n", c.Environment)
		return err
	})
}

type showSegment struct{ inEnvironment }

// Run shows the destination.
func (c *showSegment) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(service *auth.Service, env belfry.EnvironmentID) error {
		d, err := analytics.NewDestinations(service.Pool, time.Now).GetSegment(ctx, env)
		if err != nil {
			return err
		}
		state := "everything arrives"
		if d.Failures > 0 {
			state = fmt.Sprintf("the last %d attempts failed: %s", d.Failures, d.LastError)
		}
		if d.Endpoint == "" {
			d.Endpoint = "Segment"
		}
		_, err = fmt.Fprintf(out, "Events of %s go to %s with the write key …%s; %s.\n", c.Environment, d.Endpoint, d.WriteKey[max(0, len(d.WriteKey)-4):], state)
		return err
	})
}

type removeSegment struct{ inEnvironment }

// Run removes the destination.
func (c *removeSegment) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(service *auth.Service, env belfry.EnvironmentID) error {
		if err := analytics.NewDestinations(service.Pool, time.Now).RemoveSegment(ctx, env); err != nil {
			return err
		}
		_, err := fmt.Fprintf(out, "The events of %s go nowhere now.\n", c.Environment)
		return err
	})
}

// table prints a list in columns.
func table[T any](out io.Writer, head string, list []T, row func(T) string) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, head) // errors are kept until Flush
	for _, v := range list {
		fmt.Fprintln(w, row(v))
	}
	return w.Flush()
}

// instant is a time in a table, empty if it never came.
func instant(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Format(time.RFC3339)
}
