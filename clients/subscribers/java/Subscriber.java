import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** What is open and who is placed, as one hash: Subscriber KAFKA TOPIC... (snapshots before their topics) */
public class Subscriber {
  record Event(String kind, String subject, int sequence, JsonNode body) {}

  static final Map<String, String> state = new HashMap<>();
  static final Map<String, Integer> newest = new HashMap<>();

  static void take(Event e) {
    if (e.sequence <= newest.getOrDefault(e.subject, 0))
      return; // known: an event may come twice, and a snapshot has some of what follows
    newest.put(e.subject, e.sequence);
    switch (e.kind) {
      case "posting.gig-posted.v1", "posting.gig-amended.v1" -> state.put(e.subject, "gig %s %s %d".formatted(
          e.subject, e.body.get("district").asText(), e.body.get("terms").get("headcount").asInt()));
      case "matching.placement-made.v1" -> state.put(e.subject, "placement %s %s %s".formatted(
          e.subject, e.body.get("gig_id").asText(), e.body.get("worker_id").asText()));
      case "posting.gig-closed.v1", "matching.placement-cancelled.v1" -> state.remove(e.subject);
      default -> { } // there are others, and there will be more
    }
  }

  static String header(ConsumerRecord<byte[], byte[]> record, String name) {
    return new String(record.headers().lastHeader(name).value(), StandardCharsets.UTF_8);
  }

  /** All events of a topic up to its present end, in the order of their sequence. */
  static List<Event> read(KafkaConsumer<byte[], byte[]> consumer, String topic) throws Exception {
    List<TopicPartition> places =
        consumer.partitionsFor(topic).stream().map(p -> new TopicPartition(topic, p.partition())).toList();
    consumer.assign(places);
    consumer.seekToBeginning(places);
    Map<TopicPartition, Long> ends = consumer.endOffsets(places);
    List<Event> events = new ArrayList<>();
    while (places.stream().anyMatch(place -> consumer.position(place) < ends.get(place)))
      for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1)))
        events.add(new Event(header(record, "ce_type"), header(record, "ce_subject"),
            Integer.parseInt(header(record, "ce_sequence")), new ObjectMapper().readTree(record.value())));
    events.sort(Comparator.comparingInt(Event::sequence));
    return events;
  }

  public static void main(String[] arguments) throws Exception {
    Map<String, String> env = System.getenv();
    Map<String, Object> login = Map.of(
        "bootstrap.servers", arguments[0],
        "security.protocol", env.getOrDefault("KAFKA_SECURITY", "SASL_SSL"),
        "sasl.mechanism", "SCRAM-SHA-512",
        "sasl.jaas.config", "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"%s\" password=\"%s\";"
            .formatted(env.get("KAFKA_USER"), env.get("KAFKA_PASSWORD")),
        "enable.auto.commit", "false");
    int count = 0;
    try (var consumer = new KafkaConsumer<>(login, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      for (String topic : Arrays.copyOfRange(arguments, 1, arguments.length))
        for (Event event : read(consumer, topic)) {
          take(event);
          count++;
        }
    }
    byte[] lines = String.join("\n", new TreeSet<>(state.values())).getBytes(StandardCharsets.UTF_8);
    System.out.println(count + " " + HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(lines)));
  }
}
