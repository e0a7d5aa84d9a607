// What is open and who is placed, as one hash: go run . KAFKA TOPIC... (snapshots before their topics)
package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

type event struct {
	kind, subject string
	sequence      int
	District      string `json:"district"`
	GigID         string `json:"gig_id"`
	WorkerID      string `json:"worker_id"`
	Terms         struct {
		Headcount int `json:"headcount"`
	} `json:"terms"`
}

var state, newest = map[string]string{}, map[string]int{}

func take(e event) {
	if e.sequence <= newest[e.subject] {
		return // known: an event may come twice, and a snapshot has some of what follows
	}
	newest[e.subject] = e.sequence
	switch e.kind {
	case "posting.gig-posted.v1", "posting.gig-amended.v1":
		state[e.subject] = fmt.Sprintf("gig %s %s %d", e.subject, e.District, e.Terms.Headcount)
	case "matching.placement-made.v1":
		state[e.subject] = fmt.Sprintf("placement %s %s %s", e.subject, e.GigID, e.WorkerID)
	case "posting.gig-closed.v1", "matching.placement-cancelled.v1":
		delete(state, e.subject)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

// All events of a topic up to its present end, in the order of their sequence.
func read(topic string, login ...kgo.Opt) (events []event) {
	start := kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())
	client := must(kgo.NewClient(append(login, kgo.ConsumeTopics(topic), start)...))
	defer client.Close()
	ctx, admin := context.Background(), kadm.NewClient(client)
	begins, ends := must(admin.ListStartOffsets(ctx, topic)), must(admin.ListEndOffsets(ctx, topic))
	must(0, begins.Error())
	left := map[int32]int64{}
	for partition, end := range ends[topic] {
		if begins[topic][partition].Offset < end.Offset {
			left[partition] = end.Offset
		}
	}
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		must(0, fetches.Err())
		fetches.EachRecord(func(record *kgo.Record) {
			header := map[string]string{}
			for _, each := range record.Headers {
				header[each.Key] = string(each.Value)
			}
			e := event{kind: header["ce_type"], subject: header["ce_subject"]}
			e.sequence = must(strconv.Atoi(header["ce_sequence"]))
			must(0, json.Unmarshal(record.Value, &e))
			events = append(events, e)
			if end, ok := left[record.Partition]; ok && record.Offset+1 >= end {
				delete(left, record.Partition)
			}
		})
	}
	slices.SortStableFunc(events, func(one, other event) int { return one.sequence - other.sequence })
	return events
}

func main() {
	secret := scram.Auth{User: os.Getenv("KAFKA_USER"), Pass: os.Getenv("KAFKA_PASSWORD")}
	login := []kgo.Opt{kgo.SeedBrokers(os.Args[1]), kgo.SASL(secret.AsSha512Mechanism())}
	if os.Getenv("KAFKA_SECURITY") != "SASL_PLAINTEXT" {
		login = append(login, kgo.DialTLSConfig(&tls.Config{}))
	}
	count := 0
	for _, topic := range os.Args[2:] {
		for _, e := range read(topic, login...) {
			take(e)
			count++
		}
	}
	lines := strings.Join(slices.Sorted(maps.Values(state)), "\n")
	fmt.Printf("%d %x\n", count, sha256.Sum256([]byte(lines)))
}
