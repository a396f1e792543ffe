//! What enabling the datacenter firewall does to guests: their own firewalls begin to work.
