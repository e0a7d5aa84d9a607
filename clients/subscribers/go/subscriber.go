// What is open and who is placed, kept up with. Topics and their snapshots may be read in any order.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
)

type known struct {
	sequence int
	line     string
}

var state = map[string]known{}

func take(record *kgo.Record) error {
	header, event := map[string]string{}, map[string]any{}
	for _, each := range record.Headers {
		header[each.Key] = string(each.Value)
	}
	subject, line := header["ce_subject"], ""
	sequence, err := strconv.Atoi(header["ce_sequence"])
	if err = errors.Join(err, json.Unmarshal(record.Value, &event)); err != nil {
		return err
	}
	switch header["ce_type"] {
	case "posting.gig-posted.v1", "posting.gig-amended.v1":
		line = fmt.Sprintf("gig %s %v %v", subject, event["district"], event["terms"].(map[string]any)["headcount"])
	case "matching.placement-made.v1":
		line = fmt.Sprintf("placement %s %v %v", subject, event["gig_id"], event["worker_id"])
	case "posting.gig-closed.v1", "matching.placement-cancelled.v1":
	default:
		return nil // there are others, and there will be more
	}
	if sequence > state[subject].sequence { // else it is known: events come twice, and again from a snapshot
		state[subject] = known{sequence, line}
	}
	return nil
}

// Take what stands in the client's topics, and then what comes, as long as the caller wants to go on.
func subscribe(ctx context.Context, client *kgo.Client, goOn func(*kgo.Record) bool) error {
	for {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		for _, record := range fetches.Records() {
			if err := take(record); err != nil || !goOn(record) {
				return err
			}
		}
	}
}
