// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// A stand-in for Polymarket's neg-risk adapter, which is published as source and on no registry as bytecode. Written
// for these tests after what its documentation and source say of each call (github.com/Polymarket/neg-risk-ctf-adapter,
// docs/NegRiskAdapter.md and src/NegRiskAdapter.sol): what goes in, what comes out, who must have approved what, and
// under which errors it refuses. Below it is the real ConditionalTokens.

interface Dollars {
    function transfer(address to, uint256 amount) external returns (bool);
    function transferFrom(address from, address to, uint256 amount) external returns (bool);
}

interface Tokens {
    function prepareCondition(address oracle, bytes32 question, uint256 outcomes) external;
    function reportPayouts(bytes32 question, uint256[] calldata payouts) external;
    function splitPosition(address backing, bytes32 parent, bytes32 condition, uint256[] calldata sets, uint256 amount) external;
    function mergePositions(address backing, bytes32 parent, bytes32 condition, uint256[] calldata sets, uint256 amount) external;
    function redeemPositions(address backing, bytes32 parent, bytes32 condition, uint256[] calldata sets) external;
    function getCollectionId(bytes32 parent, bytes32 condition, uint256 set) external view returns (bytes32);
    function balanceOf(address holder, uint256 id) external view returns (uint256);
    function safeTransferFrom(address from, address to, uint256 id, uint256 amount, bytes calldata data) external;
}

/// What the questions' tokens are backed by. It holds the dollars; its owner may also make it out of nothing.
contract Wrapped {
    address private immutable owner;
    Dollars private immutable dollars;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    constructor(Dollars dollars_) {
        (owner, dollars) = (msg.sender, dollars_);
    }

    modifier byOwner() {
        require(msg.sender == owner, "not the owner");
        _;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        return true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        return move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        allowance[from][msg.sender] -= amount;
        return move(from, to, amount);
    }

    function move(address from, address to, uint256 amount) private returns (bool) {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        return true;
    }

    function make(uint256 amount) external byOwner {
        balanceOf[owner] += amount;
    }

    function burn(uint256 amount) external byOwner {
        balanceOf[owner] -= amount;
    }

    /// Dollars out without anything being burned: what backs the burned NO.
    function release(address to, uint256 amount) external byOwner {
        dollars.transfer(to, amount);
    }
}

/// Questions of which one comes true: the NO of some become the YES of all others, and dollars for all but one.
contract NegRisk {
    error MarketNotPrepared();
    error NoConvertiblePositions();
    error InvalidIndexSet();
    error OnlyOracle();
    error UnexpectedCollateralToken();

    struct Market {
        address oracle;
        uint256 feeBips;
        uint256 questions;
    }

    address private constant FIRE = address(0xdead);
    uint256 private constant BASIS = 10_000;
    Tokens private immutable tokens;
    Dollars private immutable dollars;
    address private immutable vault;
    Wrapped public immutable wrapped;
    mapping(bytes32 => Market) private markets;
    uint256[] private sides = [1, 2];

    constructor(Tokens tokens_, Dollars dollars_, address vault_) {
        (tokens, dollars, vault) = (tokens_, dollars_, vault_);
        wrapped = new Wrapped(dollars_);
        wrapped.approve(address(tokens_), type(uint256).max);
    }

    // -- questions ---------------------------------------------------------------------------------------------

    function prepareMarket(uint256 feeBips, bytes calldata data) external returns (bytes32 market) {
        market = keccak256(abi.encode(msg.sender, data)) & ~bytes32(uint256(0xff)); // the last byte numbers questions
        markets[market] = Market(msg.sender, feeBips, 0);
    }

    function prepareQuestion(bytes32 market, bytes calldata) external returns (bytes32 question) {
        Market storage one = markets[market];
        if (one.oracle == address(0)) revert MarketNotPrepared();
        if (one.oracle != msg.sender) revert OnlyOracle();
        question = market | bytes32(one.questions++);
        tokens.prepareCondition(address(this), question, 2);
    }

    function reportOutcome(bytes32 question, bool yes) external {
        if (markets[question & ~bytes32(uint256(0xff))].oracle != msg.sender) revert OnlyOracle();
        uint256[] memory payouts = new uint256[](2);
        payouts[yes ? 0 : 1] = 1;
        tokens.reportPayouts(question, payouts);
    }

    // -- with the signatures of ConditionalTokens --------------------------------------------------------------

    function splitPosition(address token, bytes32, bytes32 condition, uint256[] calldata, uint256 amount) external {
        if (token != address(dollars)) revert UnexpectedCollateralToken();
        dollars.transferFrom(msg.sender, address(wrapped), amount);
        wrapped.make(amount);
        tokens.splitPosition(address(wrapped), 0, condition, sides, amount);
        for (uint256 side = 1; side <= 2; side++) give(msg.sender, id(condition, side), amount);
    }

    function mergePositions(address token, bytes32, bytes32 condition, uint256[] calldata, uint256 amount) external {
        if (token != address(dollars)) revert UnexpectedCollateralToken();
        for (uint256 side = 1; side <= 2; side++) take(address(this), id(condition, side), amount);
        tokens.mergePositions(address(wrapped), 0, condition, sides, amount);
        unwrap(amount);
    }

    function redeemPositions(address token, bytes32, bytes32 condition, uint256[] calldata) external {
        if (token != address(dollars)) revert UnexpectedCollateralToken();
        for (uint256 side = 1; side <= 2; side++) {
            uint256 position = id(condition, side);
            take(address(this), position, tokens.balanceOf(msg.sender, position));
        }
        tokens.redeemPositions(address(wrapped), 0, condition, sides);
        unwrap(wrapped.balanceOf(address(this)));
    }

    // -- converting --------------------------------------------------------------------------------------------

    function convertPositions(bytes32 market, uint256 taken, uint256 amount) external {
        Market memory one = markets[market];
        if (one.oracle == address(0)) revert MarketNotPrepared();
        if (one.questions < 2) revert NoConvertiblePositions();
        if (taken == 0 || taken >> one.questions != 0) revert InvalidIndexSet();
        uint256 fee = amount * one.feeBips / BASIS;
        uint256 burned;
        for (uint256 nth; nth < one.questions; nth++) {
            bytes32 condition = keccak256(abi.encodePacked(address(this), market | bytes32(nth), uint256(2)));
            uint256 no = id(condition, 2);
            if (taken >> nth & 1 == 1) {
                take(FIRE, no, amount);
                burned++;
            } else {
                wrapped.make(amount);
                tokens.splitPosition(address(wrapped), 0, condition, sides, amount);
                give(FIRE, no, amount);
                give(vault, id(condition, 1), fee);
                give(msg.sender, id(condition, 1), amount - fee);
            }
        }
        wrapped.release(vault, (burned - 1) * fee);
        wrapped.release(msg.sender, (burned - 1) * (amount - fee));
    }

    // -- moving ------------------------------------------------------------------------------------------------

    function id(bytes32 condition, uint256 side) private view returns (uint256) {
        bytes32 collection = tokens.getCollectionId(0, condition, side);
        return uint256(keccak256(abi.encodePacked(address(wrapped), collection)));
    }

    function give(address to, uint256 position, uint256 amount) private {
        if (amount != 0) tokens.safeTransferFrom(address(this), to, position, amount, "");
    }

    function take(address to, uint256 position, uint256 amount) private {
        if (amount != 0) tokens.safeTransferFrom(msg.sender, to, position, amount, "");
    }

    function unwrap(uint256 amount) private {
        wrapped.burn(amount);
        wrapped.release(msg.sender, amount);
    }

    function onERC1155Received(address, address, uint256, uint256, bytes calldata) external pure returns (bytes4) {
        return this.onERC1155Received.selector;
    }

    function onERC1155BatchReceived(address, address, uint256[] calldata, uint256[] calldata, bytes calldata) external pure returns (bytes4) {
        return this.onERC1155BatchReceived.selector;
    }
}
