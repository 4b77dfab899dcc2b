package main

import (
	"context"
	"net/http"
	"time"

	"github.com/centrifugal/centrifuge"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/realtime/graphqlws"
)

const (
	centrifugeHistory    = 500       // publications of a channel: as many as Belfry tells again
	centrifugeHistoryTTL = time.Hour // longer than a measurement
)

// serveCentrifuge has a channel for each user, in memory, and believes everybody who they are. Users get what the data of
// Belfry's frame would be.
func serveCentrifuge(ctx context.Context, c peerConfig) (http.Handler, publish, error) {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		return nil, nil, err
	}
	node.OnConnecting(func(_ context.Context, e centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{UserID: e.Token}}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(e centrifuge.SubscribeEvent, reply centrifuge.SubscribeCallback) {
			if e.Channel != client.UserID() {
				reply(centrifuge.SubscribeReply{}, centrifuge.ErrorPermissionDenied)
				return
			}
			reply(centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{EnableRecovery: e.Channel < peerUser(c.Stored)}}, nil)
		})
	})
	if err := node.Run(); err != nil {
		return nil, nil, err
	}
	context.AfterFunc(ctx, func() { _ = node.Shutdown(context.Background()) }) // the process ends
	handler := centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		ReadBufferSize: 512, UseWriteBufferPool: true, // what costs it the least
		PingPongConfig: centrifuge.PingPongConfig{PingInterval: graphqlws.DefaultPingInterval, PongTimeout: 10 * time.Second},
	})
	return handler, func(_ context.Context, notices []notice) error {
		var options []centrifuge.PublishOption
		if notices[0].user < c.Stored {
			options = append(options, centrifuge.WithHistory(centrifugeHistory, centrifugeHistoryTTL))
		}
		for i := range notices {
			n := &notices[i]
			data, err := n.data(belfry.RecipientID(1 + n.user))
			if err != nil {
				return err
			}
			if _, err := node.Publish(peerUser(n.user), data, options...); err != nil {
				return err
			}
		}
		return nil
	}, nil
}
