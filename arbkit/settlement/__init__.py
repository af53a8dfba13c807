"""What happens to money and shares on chain: split, merge, redeem, convert, approvals, and what a match delivered."""
