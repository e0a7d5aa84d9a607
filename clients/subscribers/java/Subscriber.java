import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.util.*;
import java.util.function.Predicate;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.TopicPartition;

/** What is open and who is placed, kept up with. Topics and their snapshots may be read in any order. */
public class Subscriber {
  record Known(int sequence, String line) {}

  static final Map<String, Known> state = new HashMap<>();

  static void take(ConsumerRecord<String, String> record) throws Exception {
    String subject = header(record, "ce_subject"), line;
    JsonNode event = new ObjectMapper().readTree(record.value());
    switch (header(record, "ce_type")) {
      case "posting.gig-posted.v1", "posting.gig-amended.v1" -> line = "gig %s %s %d".formatted(
          subject, event.get("district").asText(), event.get("terms").get("headcount").asInt());
      case "matching.placement-made.v1" -> line = "placement %s %s %s".formatted(
          subject, event.get("gig_id").asText(), event.get("worker_id").asText());
      case "posting.gig-closed.v1", "matching.placement-cancelled.v1" -> line = null;
      default -> { return; } // there are others, and there will be more
    }
    Known now = new Known(Integer.parseInt(header(record, "ce_sequence")), line);
    // An older one is known: events come twice, and again from a snapshot.
    state.merge(subject, now, (old, other) -> other.sequence > old.sequence ? other : old);
  }

  static String header(ConsumerRecord<String, String> record, String name) {
    return new String(record.headers().lastHeader(name).value());
  }

  /** Take what stands in the topics, and then what comes, as long as the caller wants to go on. */
  static void subscribe(KafkaConsumer<String, String> consumer, List<String> topics,
      Predicate<ConsumerRecords<String, String>> goOn) throws Exception {
    List<TopicPartition> places = topics.stream().flatMap(topic -> consumer.partitionsFor(topic).stream())
        .map(each -> new TopicPartition(each.topic(), each.partition())).toList();
    consumer.assign(places);
    consumer.seekToBeginning(places);
    ConsumerRecords<String, String> records;
    do {
      records = consumer.poll(Duration.ofSeconds(1));
      for (ConsumerRecord<String, String> record : records) take(record);
    } while (goOn.test(records));
  }
}
