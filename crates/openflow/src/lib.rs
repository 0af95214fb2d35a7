//! OpenFlow 1.0 to 1.5 messages with the Nicira and ONF extensions, the action table and the text forms.
