# ruff: noqa: E501  # a table reads best with one row a line
"""All normative statements of MQTT 3.1.1 that bind a server: what each says, where the embedded broker holds it, which test has seen it.

A table, so that its gaps can be counted: a test resolves every place and every test that is named here. Statements that bind clients only
are left out, and so are those of chapter 5 (security advice) and 7 (conformance claims). The words are ours, shortened.
Source: MQTT Version 3.1.1, OASIS Standard, 29 October 2014, Appendix B.
"""

from dataclasses import dataclass

_DECODE = "harness.mqtt.decoding:Decoder.feed"
_ENCODE = "harness.mqtt.encoding:encode"
_SESSION = "harness.mqtt.server_session:ServerSession"
_CORE = "simulators.broker.core:BrokerCore"
_MESSAGES_OF = "simulators.broker.messages:Messages"
_SOCKET = "simulators.broker.websocket:WebSocketListener"
_CODEC_TEST = "tests/harness/mqtt/test_codec.py"
_BYTES = f"{_CODEC_TEST}::test_bytes_are_decoded_to_their_packet"
_REFUSED = f"{_CODEC_TEST}::test_malformed_bytes_are_refused_by_their_statement"
_NOT_SENT = f"{_CODEC_TEST}::test_what_the_standard_forbids_is_not_sent"
_CONNECTING = "tests/simulators/broker/test_core_connecting.py"
_MESSAGES = "tests/simulators/broker/test_core_messages.py"
_MORE = "tests/simulators/broker/test_core_statements.py"
_EMBEDDED = "tests/simulators/broker/test_embedded.py"
_ROUTING = "tests/simulators/broker/test_routing.py"
_TOPICS = "tests/harness/mqtt/test_topic_filters.py"
_STRANGERS = "tests/interop/test_strangers_against_embedded_broker.py"


@dataclass(frozen=True, slots=True)
class Statement:
    """`held` is `module:name` of the code that keeps it, `test` the file and function that would see it broken."""

    id: str
    text: str
    held: str
    test: str


STATEMENTS: tuple[Statement, ...] = (
    # --- strings, headers, packet ids ------------------------------------------------------------------------------------------------
    Statement("MQTT-1.5.3-1", "ill-formed UTF-8 ends the connection", _DECODE, _REFUSED),
    Statement("MQTT-1.5.3-2", "a string with U+0000 ends the connection", _DECODE, _REFUSED),
    Statement("MQTT-1.5.3-3", "U+FEFF is a character like others, never stripped", _DECODE, f"{_MORE}::test_a_topic_keeps_every_character"),
    Statement("MQTT-2.2.2-1", "reserved flags are sent as the table says", _ENCODE, f"{_CODEC_TEST}::test_a_packet_is_encoded_to_the_bytes_of_the_standard"),
    Statement("MQTT-2.2.2-2", "invalid flags end the connection", _DECODE, _REFUSED),
    Statement("MQTT-2.3.1-1", "SUBSCRIBE, UNSUBSCRIBE and PUBLISH of QoS 1 and 2 have a packet id that is not 0", _DECODE, _REFUSED),
    Statement("MQTT-2.3.1-4", "the server's PUBLISH of QoS 1 and 2 uses ids that are not in use", f"{_SESSION}.offer", f"{_MESSAGES}::test_exhausted_packet_ids_make_messages_wait"),
    Statement("MQTT-2.3.1-5", "PUBLISH of QoS 0 has no packet id", _ENCODE, _NOT_SENT),
    Statement("MQTT-2.3.1-6", "PUBACK, PUBREC and PUBREL carry the id of their PUBLISH", f"{_SESSION}.acknowledge", f"{_MESSAGES}::test_the_four_packets_of_a_qos_2_delivery"),
    Statement("MQTT-2.3.1-7", "SUBACK and UNSUBACK carry the id of their request", f"{_CORE}._on_subscribe", f"{_MESSAGES}::test_suback_answers_each_filter_in_its_order"),
    # --- CONNECT ---------------------------------------------------------------------------------------------------------------------
    Statement("MQTT-3.1.0-1", "the first packet is CONNECT", f"{_CORE}._on_first_packet", f"{_CONNECTING}::test_a_first_packet_that_is_no_connect_ends_the_connection"),
    Statement("MQTT-3.1.0-2", "a second CONNECT ends the connection", f"{_CORE}.received", f"{_CONNECTING}::test_a_second_connect_ends_the_connection"),
    Statement("MQTT-3.1.2-1", "another protocol name is not served", _DECODE, _REFUSED),
    Statement("MQTT-3.1.2-2", "an unknown protocol level is answered by CONNACK 1, then the end", f"{_CORE}.malformed", f"{_EMBEDDED}::test_a_protocol_of_another_level_is_told_so"),
    Statement("MQTT-3.1.2-3", "the reserved CONNECT flag is 0, or the connection ends", _DECODE, _REFUSED),
    Statement("MQTT-3.1.2-4", "clean session 0 resumes the session, or makes one that is kept", f"{_CORE}._session_for", f"{_CONNECTING}::test_session_present_says_whether_a_session_was_kept"),
    Statement("MQTT-3.1.2-5", "QoS 1 and 2 for a kept session are stored while the client is away", f"{_SESSION}.offer", f"{_MESSAGES}::test_messages_for_an_absent_session_wait_in_their_order"),
    Statement("MQTT-3.1.2-6", "clean session 1 discards the session and keeps none", f"{_CORE}._session_for", f"{_CONNECTING}::test_a_clean_session_leaves_nothing_behind"),
    Statement("MQTT-3.1.2-7", "retained messages outlive the session of their publisher", f"{_MESSAGES_OF}._retain", f"{_MORE}::test_retained_messages_outlive_the_session_of_their_publisher"),
    Statement("MQTT-3.1.2-8", "the will is published when the connection ends without DISCONNECT", f"{_CORE}._leave", f"{_CONNECTING}::test_a_lost_connection_publishes_the_will"),
    Statement("MQTT-3.1.2-9", "with the will flag, will topic and message are in the payload", _DECODE, f"{_MORE}::test_will_flag_and_will_fields_must_agree"),
    Statement("MQTT-3.1.2-10", "the will is forgotten once published, or after DISCONNECT", f"{_CORE}._on_disconnect", f"{_CONNECTING}::test_disconnect_drops_the_will"),
    Statement("MQTT-3.1.2-11", "without the will flag, will QoS and retain are 0 and the fields are absent", _DECODE, f"{_MORE}::test_will_flag_and_will_fields_must_agree"),
    Statement("MQTT-3.1.2-12", "without the will flag nothing is published at the end", f"{_CORE}._leave", f"{_MORE}::test_a_client_without_a_will_leaves_in_silence"),
    Statement("MQTT-3.1.2-13", "without the will flag the will QoS is 0", _DECODE, _REFUSED),
    Statement("MQTT-3.1.2-14", "the will QoS is not 3", _DECODE, _REFUSED),
    Statement("MQTT-3.1.2-15", "without the will flag will retain is 0", _DECODE, _REFUSED),
    Statement("MQTT-3.1.2-16", "will retain 0: published as not retained", f"{_CORE}._leave", f"{_MORE}::test_a_will_without_retain_is_not_stored"),
    Statement("MQTT-3.1.2-17", "will retain 1: published as retained", f"{_CORE}._leave", f"{_CONNECTING}::test_a_retained_will_is_retained"),
    Statement("MQTT-3.1.2-18", "without its flag there is no user name", _DECODE, _BYTES),
    Statement("MQTT-3.1.2-19", "with its flag there is a user name", _DECODE, _BYTES),
    Statement("MQTT-3.1.2-20", "without its flag there is no password", _DECODE, _BYTES),
    Statement("MQTT-3.1.2-21", "with its flag there is a password", _DECODE, _BYTES),
    Statement("MQTT-3.1.2-22", "no password without a user name", _DECODE, _REFUSED),
    Statement("MQTT-3.1.2-24", "silence of 1.5 keep-alives ends the connection", f"{_CORE}.expire", f"{_CONNECTING}::test_silence_of_one_and_a_half_keep_alives_ends_the_connection"),
    Statement("MQTT-3.1.3-1", "the payload's fields come in their order", _DECODE, _BYTES),
    Statement("MQTT-3.1.3-2", "the client id names the session", f"{_CORE}._session_for", f"{_CONNECTING}::test_session_present_says_whether_a_session_was_kept"),
    Statement("MQTT-3.1.3-3", "the client id is the first field", _DECODE, _BYTES),
    Statement("MQTT-3.1.3-4", "the client id is UTF-8", _DECODE, f"{_MORE}::test_text_that_is_no_utf_8_ends_the_connection"),
    Statement("MQTT-3.1.3-5", "client ids of 1 to 23 letters and digits are accepted", f"{_CORE}._on_first_packet", f"{_MORE}::test_client_ids_of_all_promised_lengths_are_accepted"),
    Statement("MQTT-3.1.3-6", "an empty client id gets a unique one", f"{_CORE}._on_first_packet", f"{_CONNECTING}::test_an_empty_client_id_gets_one_of_the_brokers"),
    Statement("MQTT-3.1.3-8", "an empty client id that wants to keep its session: CONNACK 2, then the end", f"{_CORE}.malformed", f"{_CONNECTING}::test_a_connect_that_cannot_be_served_is_answered_before_the_end"),
    Statement("MQTT-3.1.3-9", "a client id that is refused: CONNACK 2, then the end", f"{_CORE}.malformed", f"{_CONNECTING}::test_a_connect_that_cannot_be_served_is_answered_before_the_end"),
    Statement("MQTT-3.1.3-10", "the will topic is UTF-8", _DECODE, f"{_MORE}::test_text_that_is_no_utf_8_ends_the_connection"),
    Statement("MQTT-3.1.3-11", "the user name is UTF-8", _DECODE, f"{_MORE}::test_text_that_is_no_utf_8_ends_the_connection"),
    Statement("MQTT-3.1.4-1", "a CONNECT that breaks the rules ends the connection without CONNACK", f"{_CORE}.malformed", f"{_CONNECTING}::test_malformed_bytes_end_the_connection_without_a_word"),
    Statement("MQTT-3.1.4-2", "a client that is connected already is disconnected", f"{_CORE}._on_first_packet", f"{_CONNECTING}::test_a_second_connection_takes_the_client_over"),
    Statement("MQTT-3.1.4-3", "clean session is processed as 3.1.2.4 says", f"{_CORE}._session_for", f"{_CONNECTING}::test_a_clean_connect_discards_the_kept_session"),
    Statement("MQTT-3.1.4-4", "an accepted CONNECT is answered by CONNACK 0", f"{_CORE}._attach", f"{_CONNECTING}::test_connect_is_answered_by_connack_first"),
    Statement("MQTT-3.1.4-5", "nothing after a refused CONNECT is processed", f"{_CORE}.received", f"{_MORE}::test_nothing_after_a_refused_connect_is_processed"),
    Statement("MQTT-3.2.0-1", "the server's first packet is CONNACK", f"{_CORE}._attach", f"{_CONNECTING}::test_connect_is_answered_by_connack_first"),
    Statement("MQTT-3.2.2-1", "clean session 1: session present 0", f"{_CORE}._session_for", f"{_CONNECTING}::test_session_present_says_whether_a_session_was_kept"),
    Statement("MQTT-3.2.2-2", "clean session 0: session present tells whether there was one", f"{_CORE}._session_for", f"{_CONNECTING}::test_session_present_says_whether_a_session_was_kept"),
    Statement("MQTT-3.2.2-3", "clean session 0 and none stored: session present 0", f"{_CORE}._session_for", f"{_CONNECTING}::test_a_clean_session_leaves_nothing_behind"),
    Statement("MQTT-3.2.2-4", "a refusing CONNACK says session present 0", _ENCODE, _NOT_SENT),
    Statement("MQTT-3.2.2-5", "a refusing CONNACK is followed by the end", f"{_CORE}._on_first_packet", f"{_CONNECTING}::test_a_wrong_login_is_refused"),
    Statement("MQTT-3.2.2-6", "where no return code fits the connection ends without CONNACK", f"{_CORE}.malformed", f"{_CONNECTING}::test_malformed_bytes_end_the_connection_without_a_word"),
    # --- PUBLISH and its answers -----------------------------------------------------------------------------------------------------
    Statement("MQTT-3.3.1-1", "DUP is 1 on a PUBLISH that is sent again", f"{_SESSION}.resume", f"{_MESSAGES}::test_what_was_not_acknowledged_is_sent_again_with_dup_and_the_same_id"),
    Statement("MQTT-3.3.1-2", "DUP is 0 for QoS 0", _DECODE, _REFUSED),
    Statement("MQTT-3.3.1-3", "DUP towards subscribers does not depend on the publisher's", f"{_MESSAGES_OF}.route", f"{_MORE}::test_dup_of_the_publisher_is_not_handed_on"),
    Statement("MQTT-3.3.1-4", "QoS 3 ends the connection", _DECODE, _REFUSED),
    Statement("MQTT-3.3.1-5", "RETAIN 1 stores message and QoS", f"{_MESSAGES_OF}._retain", f"{_MESSAGES}::test_a_live_message_has_retain_0_and_a_stored_one_retain_1"),
    Statement("MQTT-3.3.1-6", "a new subscription gets the retained message of each matching topic", f"{_CORE}._on_subscribe", f"{_MESSAGES}::test_a_live_message_has_retain_0_and_a_stored_one_retain_1"),
    Statement("MQTT-3.3.1-7", "a retained QoS 0 message replaces the stored one", f"{_MESSAGES_OF}._retain", f"{_MORE}::test_a_retained_message_of_qos_0_replaces_one_of_qos_2"),
    Statement("MQTT-3.3.1-8", "RETAIN is 1 on what a new subscription gets from the store", f"{_CORE}._on_subscribe", f"{_MESSAGES}::test_a_live_message_has_retain_0_and_a_stored_one_retain_1"),
    Statement("MQTT-3.3.1-9", "RETAIN is 0 for established subscriptions", f"{_MESSAGES_OF}.route", f"{_MESSAGES}::test_a_queued_message_comes_without_retain"),
    Statement("MQTT-3.3.1-10", "an empty retained message is delivered and removes the stored one", f"{_MESSAGES_OF}._retain", f"{_MESSAGES}::test_an_empty_retained_message_removes_the_stored_one_and_is_delivered"),
    Statement("MQTT-3.3.1-11", "an empty retained message is not stored", f"{_MESSAGES_OF}._retain", f"{_MESSAGES}::test_an_empty_retained_message_removes_the_stored_one_and_is_delivered"),
    Statement("MQTT-3.3.1-12", "RETAIN 0 neither stores nor removes", f"{_MESSAGES_OF}.route", f"{_MESSAGES}::test_retain_0_stores_nothing_and_removes_nothing"),
    Statement("MQTT-3.3.2-1", "the topic name is the first field, and UTF-8", _DECODE, _REFUSED),
    Statement("MQTT-3.3.2-2", "a topic name has no wildcards", _DECODE, _REFUSED),
    Statement("MQTT-3.3.2-3", "the topic name of a delivery matches the subscription", "simulators.broker.routing:SubscriptionIndex.match", f"{_ROUTING}::test_index_agrees_with_matching_filter_by_filter"),
    Statement("MQTT-3.3.4-1", "each QoS gets its answer", f"{_CORE}._on_publish", f"{_MESSAGES}::test_each_qos_gets_its_acknowledgement"),
    Statement("MQTT-3.3.5-1", "overlapping subscriptions deliver with the highest QoS", "simulators.broker.routing:SubscriptionIndex.match", f"{_MESSAGES}::test_overlapping_filters_deliver_once_with_the_highest_qos"),
    Statement("MQTT-3.3.5-2", "a PUBLISH that is not allowed is acknowledged, or the connection ends", f"{_CORE}._on_publish", f"{_MESSAGES}::test_a_device_reads_and_writes_below_its_own_id_only"),
    Statement("MQTT-3.6.1-1", "PUBREL has the flags 0010, or the connection ends", _DECODE, _REFUSED),
    # --- SUBSCRIBE and UNSUBSCRIBE ---------------------------------------------------------------------------------------------------
    Statement("MQTT-3.8.1-1", "SUBSCRIBE has the flags 0010, or the connection ends", _DECODE, _REFUSED),
    Statement("MQTT-3.8.3-1", "topic filters are UTF-8", _DECODE, f"{_MORE}::test_text_that_is_no_utf_8_ends_the_connection"),
    Statement("MQTT-3.8.3-2", "filters with wildcards are served", f"{_MESSAGES_OF}.subscribe", f"{_MESSAGES}::test_suback_answers_each_filter_in_its_order"),
    Statement("MQTT-3.8.3-3", "SUBSCRIBE names a filter at least, or the connection ends", _DECODE, _REFUSED),
    Statement("MQTT-3-8.3-4", "reserved bits of the requested QoS end the connection", _DECODE, _REFUSED),
    Statement("MQTT-3.8.4-1", "SUBSCRIBE is answered by SUBACK", f"{_CORE}._on_subscribe", f"{_MESSAGES}::test_suback_answers_each_filter_in_its_order"),
    Statement("MQTT-3.8.4-2", "SUBACK has the packet id of SUBSCRIBE", f"{_CORE}._on_subscribe", f"{_MESSAGES}::test_suback_answers_each_filter_in_its_order"),
    Statement("MQTT-3.8.4-3", "the same filter again replaces the subscription and sends retained messages again", f"{_CORE}._on_subscribe", f"{_MESSAGES}::test_subscribing_again_sends_the_retained_message_again"),
    Statement("MQTT-3.8.4-4", "several filters are served as several SUBSCRIBEs, with one SUBACK", f"{_CORE}._on_subscribe", f"{_MESSAGES}::test_suback_answers_each_filter_in_its_order"),
    Statement("MQTT-3.8.4-5", "SUBACK has a code for each filter", f"{_CORE}._on_subscribe", f"{_MESSAGES}::test_too_many_subscriptions_are_refused_one_by_one"),
    Statement("MQTT-3.8.4-6", "the delivered QoS is the lower of the published and the granted", f"{_MESSAGES_OF}.route", f"{_MESSAGES}::test_a_message_is_delivered_with_the_lower_qos"),
    Statement("MQTT-3.9.3-1", "the codes of SUBACK are in the order of the filters", f"{_CORE}._on_subscribe", f"{_MESSAGES}::test_suback_answers_each_filter_in_its_order"),
    Statement("MQTT-3.9.3-2", "the codes of SUBACK are 0, 1, 2 and 128", _ENCODE, _NOT_SENT),
    Statement("MQTT-3.10.1-1", "UNSUBSCRIBE has the flags 0010, or the connection ends", _DECODE, _REFUSED),
    Statement("MQTT-3.10.3-1", "the filters of UNSUBSCRIBE are UTF-8", _DECODE, f"{_MORE}::test_text_that_is_no_utf_8_ends_the_connection"),
    Statement("MQTT-3.10.3-2", "UNSUBSCRIBE names a filter at least, or the connection ends", _DECODE, _REFUSED),
    Statement("MQTT-3.10.4-1", "filters are compared character by character; exactly the equal one is deleted", f"{_SESSION}.unsubscribe", f"{_MORE}::test_unsubscribe_deletes_the_equal_filter_only"),
    Statement("MQTT-3.10.4-2", "after UNSUBSCRIBE no new message is added", f"{_CORE}._on_unsubscribe", f"{_MESSAGES}::test_unsubscribe_ends_the_subscription_and_is_always_answered"),
    Statement("MQTT-3.10.4-3", "what is under way is finished", f"{_SESSION}.unsubscribe", f"{_MESSAGES}::test_unsubscribe_lets_what_is_under_way_finish"),
    Statement("MQTT-3.10.4-4", "UNSUBACK has the packet id of UNSUBSCRIBE", f"{_CORE}._on_unsubscribe", f"{_MESSAGES}::test_unsubscribe_ends_the_subscription_and_is_always_answered"),
    Statement("MQTT-3.10.4-5", "UNSUBACK comes also where nothing was deleted", f"{_CORE}._on_unsubscribe", f"{_MESSAGES}::test_unsubscribe_ends_the_subscription_and_is_always_answered"),
    Statement("MQTT-3.10.4-6", "several filters are served as several UNSUBSCRIBEs, with one UNSUBACK", f"{_CORE}._on_unsubscribe", f"{_MESSAGES}::test_unsubscribe_ends_the_subscription_and_is_always_answered"),
    # --- PINGREQ and DISCONNECT ------------------------------------------------------------------------------------------------------
    Statement("MQTT-3.12.4-1", "PINGREQ is answered by PINGRESP", f"{_CORE}._on_pingreq", f"{_CONNECTING}::test_pingreq_is_answered"),
    Statement("MQTT-3.14.1-1", "DISCONNECT has the flags 0000, or the connection ends", _DECODE, _REFUSED),
    Statement("MQTT-3.14.4-3", "DISCONNECT discards the will", f"{_CORE}._on_disconnect", f"{_CONNECTING}::test_disconnect_drops_the_will"),
    # --- behaviour -------------------------------------------------------------------------------------------------------------------
    Statement("MQTT-4.1.0-1", "the state of a session is stored for the whole session", f"{_CORE}._leave", f"{_MESSAGES}::test_received_ids_survive_the_connection"),
    Statement("MQTT-4.1.0-2", "a session lasts at least as long as its connection", f"{_CORE}._leave", f"{_CONNECTING}::test_a_session_that_came_back_does_not_expire"),
    Statement("MQTT-4.2.0-1", "the transport is an ordered, lossless stream: segmentation means nothing", _DECODE, f"{_CODEC_TEST}::test_a_packet_cut_in_two_anywhere_is_the_same_packet"),
    Statement("MQTT-4.3.1-1", "QoS 0 is sent with QoS 0 and DUP 0", f"{_SESSION}.offer", f"{_MESSAGES}::test_a_message_is_delivered_with_the_lower_qos"),
    Statement("MQTT-4.3.2-1", "QoS 1 is sent with a fresh id, and counts as unacknowledged until PUBACK", f"{_SESSION}.offer", f"{_MESSAGES}::test_what_was_not_acknowledged_is_sent_again_with_dup_and_the_same_id"),
    Statement("MQTT-4.3.2-2", "QoS 1 is answered by PUBACK, after which the id stands for a new message", f"{_CORE}._on_publish", f"{_MESSAGES}::test_each_qos_gets_its_acknowledgement"),
    Statement("MQTT-4.3.3-1", "QoS 2 is sent, released by PUBREL after PUBREC, never published again after PUBREL", f"{_SESSION}.acknowledge", f"{_MESSAGES}::test_pubrel_is_never_repeated_as_publish_after_a_second_pubrec"),
    Statement("MQTT-4.3.3-2", "QoS 2 is taken once per id until PUBREL, which is answered by PUBCOMP", f"{_SESSION}.accept", f"{_MESSAGES}::test_a_repeated_publish_before_pubrel_is_one_message"),
    Statement("MQTT-4.4.0-1", "a resumed session sends unacknowledged PUBLISH and PUBREL again, with their ids", f"{_SESSION}.resume", f"{_MESSAGES}::test_a_released_message_is_resumed_by_pubrel_alone"),
    Statement("MQTT-4.5.0-1", "a message is added to the session of every client that subscribes", f"{_MESSAGES_OF}.route", f"{_MESSAGES}::test_a_message_goes_to_the_core_of_every_subscriber_with_its_bytes"),
    Statement("MQTT-4.6.0-5", "every topic is an ordered topic", f"{_MESSAGES_OF}.route", f"{_MESSAGES}::test_order_per_topic_is_kept_across_loss_and_window"),
    Statement("MQTT-4.6.0-6", "messages of one client, topic and QoS are delivered in their order", f"{_SESSION}.offer", f"{_MESSAGES}::test_redelivery_keeps_the_order_of_the_first_sending"),
    Statement("MQTT-4.7.1-1", "wildcards stand in filters only", _DECODE, _REFUSED),
    Statement("MQTT-4.7.1-2", "`#` stands alone in the last level", "harness.mqtt.topic_filters:validate_topic_filter", f"{_TOPICS}::test_an_illegal_filter_is_refused_by_its_statement"),
    Statement("MQTT-4.7.1-3", "`+` stands alone in its level", "harness.mqtt.topic_filters:validate_topic_filter", f"{_TOPICS}::test_an_illegal_filter_is_refused_by_its_statement"),
    Statement("MQTT-4.7.2-1", "a leading wildcard does not match a leading `$`", "simulators.broker.routing:SubscriptionIndex.match", f"{_MESSAGES}::test_dollar_topics_are_hidden_from_leading_wildcards"),
    Statement("MQTT-4.7.3-1", "names and filters have at least one character", _DECODE, _REFUSED),
    Statement("MQTT-4.7.3-2", "names and filters have no U+0000", _DECODE, _REFUSED),
    Statement("MQTT-4.7.3-3", "names and filters have at most 65,535 bytes", "harness.mqtt.topic_filters:validate_topic_filter", f"{_TOPICS}::test_an_illegal_filter_is_refused_by_its_statement"),
    Statement("MQTT-4.7.3-4", "names are compared without any normalisation", "simulators.broker.routing:SubscriptionIndex.match", f"{_MORE}::test_names_are_not_normalised"),
    Statement("MQTT-4.8.0-1", "a violation ends the connection", f"{_CORE}.malformed", f"{_EMBEDDED}::test_malformed_bytes_are_recorded_and_others_served"),
    Statement("MQTT-4.8.0-2", "a transient error while a packet is processed ends its connection", f"{_CORE}._on_publish", f"{_MESSAGES}::test_a_full_queue_refuses_the_platform_and_ends_the_publishers_connection"),
    # --- WebSocket -------------------------------------------------------------------------------------------------------------------
    Statement("MQTT-6.0.0-1", "MQTT travels in binary frames; another frame ends the connection", f"{_SOCKET}._serve", f"{_MORE}::test_a_text_frame_ends_the_connection"),
    Statement("MQTT-6.0.0-2", "a frame may hold several packets or a part of one", f"{_SOCKET}._serve", f"{_MORE}::test_frames_may_cut_packets_anywhere"),
    Statement("MQTT-6.0.0-4", "the server chooses the subprotocol `mqtt`", f"{_SOCKET}._serve", f"{_STRANGERS}::test_mqttjs_keeps_its_session_and_gets_each_command_once"),
)  # fmt: skip
